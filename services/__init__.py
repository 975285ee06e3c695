"""The product: five services that meet in Kafka topics and nowhere else."""
