"""A real Kafka for all tests that use one, with separate topic names for each test.

Under pytest-xdist all workers share the controller's Kafka.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from eddy_cli.broker import available_kafka
from eddy_cli.registry import running_registry
from tests import tiers
from tests.missing import what_is_missing

# Tests share the cores with brokers and services, so that further threads of torch would slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")

_SHARED = pytest.StashKey[ExitStack]()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Print which tests will be skipped, and what to install, before the tests run."""
    return what_is_missing()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(tiers.tier_of(item))


def pytest_runtest_setup(item: pytest.Item) -> None:
    tiers.enter(tiers.tier_of(item))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:  # type: ignore[no-untyped-def] # pytest-xdist has no type for it
    """Give each worker the address of one Kafka, started with the first worker, unless no test of this run can need it."""
    if "not broker" in node.config.option.markexpr:
        return
    stash = node.config.stash
    if _SHARED not in stash:
        stash[_SHARED] = ExitStack()
        os.environ["_EDDY_TESTS_KAFKA"] = stash[_SHARED].enter_context(available_kafka())
    node.workerinput["kafka"] = os.environ["_EDDY_TESTS_KAFKA"]


def pytest_unconfigure(config: pytest.Config) -> None:
    if _SHARED in config.stash:
        config.stash[_SHARED].close()


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """Bootstrap servers of a real Kafka: that of EDDY_KAFKA_BOOTSTRAP_SERVERS, otherwise one for this run."""
    shared = getattr(request.config, "workerinput", {}).get("kafka")
    if shared:
        yield shared
        return
    with available_kafka() as servers:
        yield servers


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real schema registry's Confluent API."""
    with running_registry(tmp_path_factory.mktemp("registry")) as url:
        yield url


@pytest.fixture
def topic_prefix() -> str:
    """A unique prefix for topics, groups and transactional ids."""
    return f"test-{uuid.uuid4().hex[:12]}."
