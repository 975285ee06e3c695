"""The command line: broker, stack, data sets, replay, boards."""
