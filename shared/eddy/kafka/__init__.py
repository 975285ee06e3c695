"""The adapter to Kafka and to the schema registry."""
