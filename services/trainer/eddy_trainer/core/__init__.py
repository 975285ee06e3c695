"""The pure core: the model and its training, without Kafka."""
