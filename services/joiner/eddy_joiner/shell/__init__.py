"""The shell: Kafka around it."""
