"""The shell: Faust and Kafka."""
