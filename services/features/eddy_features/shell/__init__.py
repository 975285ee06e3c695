"""The shell: Faust and Kafka around it."""
