"""What a user runs: a broker, the stack, data sets, replay, boards."""
