"""The Kafka for benchmarks and tests."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from eddy_cli.broker.process import running_broker

BOOTSTRAP = "EDDY_KAFKA_BOOTSTRAP_SERVERS"


@contextmanager
def available_kafka() -> Iterator[str]:
    """Bootstrap servers of EDDY_KAFKA_BOOTSTRAP_SERVERS if set, otherwise of a broker that is started for the block."""
    configured = os.environ.get(BOOTSTRAP)
    if configured:
        yield configured
        return
    with running_broker() as broker:
        yield broker.bootstrap_servers
