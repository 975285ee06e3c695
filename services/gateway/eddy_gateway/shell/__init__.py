"""The shell: HTTP and Kafka around it."""
