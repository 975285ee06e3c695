"""The HTTP API: events, items and requests go to Kafka, recommendations come back."""
