"""A real Kafka for every test that touches one, and names of its own for each test."""

import os
import uuid
from collections.abc import Iterator

import pytest

from eddy_cli.broker import some_kafka
from eddy_cli.registry import running_registry

# Tests share the cores with brokers and services: a second thread of torch would wait for them at each operation.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """Bootstrap servers of a real Kafka: the one that EDDY_KAFKA_BOOTSTRAP_SERVERS names, else one for this run."""
    with some_kafka() as servers:
        yield servers


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real schema registry's Confluent API."""
    with running_registry(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture
def topic_prefix() -> str:
    """A prefix for topics, groups and transactional ids that no other test has."""
    return f"test-{uuid.uuid4().hex[:12]}."
