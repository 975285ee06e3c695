"""A real Kafka for all tests that use one, with separate topic names for each test.

Under pytest-xdist all workers share the controller's Kafka.
"""

import asyncio
import gc
import os
import uuid
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from hypothesis import settings

from eddy.contract.topics import topics
from eddy_cli.broker import available_kafka
from eddy_cli.registry import running_registry
from tests import tiers
from tests.missing import what_is_missing

# Tests share the cores with brokers and services, so that further threads of torch would slow them down.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Examples of properties share the cores, so that their duration says nothing.
settings.register_profile("eddy", deadline=None)
settings.load_profile("eddy")

# Collecting the tests creates a million objects that stay until the end, see `pytest_collection_finish`.
gc.disable()

CHEAP = {"unit", "slow"}  # selections by -m that start no service
_SHARED = pytest.StashKey[ExitStack]()


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Print which tests will be skipped, and what to install, before the tests run."""
    return what_is_missing()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> Iterator[None]:
    """Mark tests with their tiers; under pytest-xdist, deal them to the workers once they are selected and shuffled."""
    for item in items:
        item.add_marker(tiers.tier_of(item))
    yield
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    if workers > 1:
        items[:] = tiers.dealt(items, workers)


def pytest_collection_finish() -> None:
    """Exempt what modules and tests consist of from garbage collection, which would walk through it again and again."""
    gc.freeze()
    gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    tiers.enter(tiers.tier_of(item))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """A worker for each core, and two more if services are started: their tests spend a third of the time waiting."""
    cores = len(os.sched_getaffinity(0))
    return cores if config.option.markexpr in CHEAP else cores + 2


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:  # type: ignore[no-untyped-def] # pytest-xdist has no type for it
    """Give each worker the address of one Kafka, started with the first worker, unless no test of this run can need it."""
    if node.config.option.markexpr in CHEAP or "not broker" in node.config.option.markexpr:
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
def topic_prefix(request: pytest.FixtureRequest) -> Iterator[str]:
    """A unique prefix for topics, groups and transactional ids.

    At the end the topics are deleted: the broker checks all that it has, and clients ask for all of them when they connect.
    """
    prefix = f"test-{uuid.uuid4().hex[:12]}."
    yield prefix
    if "kafka" in request.fixturenames:
        asyncio.run(_delete_topics(request.getfixturevalue("kafka"), prefix))


async def _delete_topics(servers: str, prefix: str) -> None:
    """Delete what exists of Eddy's topics, without waiting for it."""
    client = AIOKafkaAdminClient(bootstrap_servers=servers)
    await client.start()
    try:
        await client.delete_topics([prefix + name for name in topics()])
    finally:
        await client.close()
