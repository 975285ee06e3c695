"""HTTP in and out: events, items and requests go to Kafka, answers come back."""
