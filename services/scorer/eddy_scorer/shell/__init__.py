"""The shell: Kafka, metrics and the event loop around the core."""
