"""Benchmarks of learning without Kafka: the cores of the services in one process, in event time, determined by data and seed."""
