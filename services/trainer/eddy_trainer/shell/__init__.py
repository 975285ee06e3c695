"""The shell: Kafka, files and the training loop."""
