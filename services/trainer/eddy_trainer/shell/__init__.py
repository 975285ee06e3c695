"""The shell: Kafka, files and the loop around it."""
