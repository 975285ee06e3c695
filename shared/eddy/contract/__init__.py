"""The contract below all services: records, topics, scenarios, limits and the model contract. No Kafka, HTTP, Prometheus or torch."""
