"""Measures what is learned without Kafka: the cores of the services in one process, on event time, decided by seed and inputs."""
