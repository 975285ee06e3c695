"""What the services share: codec, topics, settings, metrics, runtime, Kafka adapter, scenarios, the model contract."""
