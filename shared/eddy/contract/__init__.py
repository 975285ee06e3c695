"""The contract between services: records, topics, scenarios, limits and the model contract. No Kafka, HTTP, Prometheus or torch."""
