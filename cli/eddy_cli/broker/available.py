"""The Kafka that benchmarks and tests run on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from eddy_cli.broker.process import running_broker

BOOTSTRAP = "EDDY_KAFKA_BOOTSTRAP_SERVERS"


@contextmanager
def available_kafka() -> Iterator[str]:
    """Bootstrap servers of the Kafka that EDDY_KAFKA_BOOTSTRAP_SERVERS names, else of one that is started for the block."""
    given = os.environ.get(BOOTSTRAP)
    if given:
        yield given
        return
    with running_broker() as broker:
        yield broker.bootstrap_servers
