"""The pure core: user and item state, without Kafka."""
