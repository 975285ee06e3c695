"""The private members of Faust that Eddy relies on. A failure means that Faust changed: see docs/decisions/0006-faust.md."""

import inspect
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiokafka
import pytest
from aiokafka.consumer.group_coordinator import GroupCoordinator
from faust.transport.consumer import Consumer, ThreadDelegateConsumer
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from eddy.kafka.login import Login
from eddy_features.shell.faust_app import FaustApp, FaustOptions
from eddy_features.shell.faust_private import FETCH_WAIT_MS
from eddy_features.shell.record_store import RecordStore

CHANGED = "Faust changed: adapt eddy_features/shell/faust_private.py and docs/decisions/0006-faust.md"
SOURCE, CHANGELOG = TP("user-events", 0), TP("user-features", 0)


@pytest.fixture
async def app(tmp_path: Path) -> AsyncIterator[FaustApp]:
    login = Login("PLAINTEXT", None, None, "", "")
    faust_app = FaustApp(
        FaustOptions("trial", "127.0.0.1:1", login, str(tmp_path), "http://trial", None, 10.0, 0.5, 100)
    )
    yield faust_app
    faust_app.consumer._thread.thread_loop.close()


def source_of(member: Any) -> str:
    return inspect.getsource(member)


async def test_next_fetch_returns_fetched_records_and_active_partitions(
    app: FaustApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert inspect.iscoroutinefunction(Consumer._wait_next_records), CHANGED
    assert list(inspect.signature(Consumer._wait_next_records).parameters) == ["self", "timeout"], CHANGED
    consumer = app.consumer
    consumer.resume_partitions({SOURCE})

    async def getmany(active_partitions: set[TP], timeout: float) -> dict[TP, list[str]]:
        assert active_partitions == {SOURCE}, CHANGED
        return {SOURCE: ["record"]}

    monkeypatch.setattr(consumer, "_getmany", getmany)
    assert await consumer.next_fetch(1.0) == ({SOURCE: ["record"]}, {SOURCE}), CHANGED


async def test_commit_offsets_runs_in_the_thread_of_the_client(app: FaustApp, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = []

    async def commit(offsets: dict[TP, int]) -> bool:
        commits.append(offsets)
        return True

    monkeypatch.setattr(app.consumer._thread, "commit", commit)
    assert await app.consumer.commit_offsets({SOURCE: 7}), CHANGED
    assert commits == [{SOURCE: 7}], CHANGED


async def test_faust_commits_processed_offsets_once(app: FaustApp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust's commit calls the overridden method."""
    consumer, commits = app.consumer, []

    async def commit(offsets: dict[TP, int]) -> bool:
        commits.append(offsets)
        return len(commits) > 1

    monkeypatch.setattr(consumer._thread, "commit", commit)
    monkeypatch.setattr(consumer, "assignment", lambda: {SOURCE})
    monkeypatch.setattr(consumer, "_expected", {SOURCE: 9})
    consumer.mark_processed(SOURCE, 9)
    assert not await consumer.commit(), CHANGED  # the group refused the first commit, so it is repeated
    assert await consumer.commit(), CHANGED
    assert not await consumer.commit(), CHANGED
    assert commits == [{SOURCE: 9}] * 2, CHANGED


async def test_the_client_reads_committed_records_only_and_in_short_fetches(app: FaustApp) -> None:
    assert ThreadDelegateConsumer._new_consumer_thread.__isabstractmethod__, CHANGED
    thread = app.consumer._thread
    client = thread._create_worker_consumer(app.consumer.transport)
    assert isinstance(client, aiokafka.AIOKafkaConsumer), CHANGED
    await client.stop()
    assert client._isolation_level == "read_committed", CHANGED
    assert "isolation_level=self._isolation_level" in source_of(aiokafka.AIOKafkaConsumer.start), CHANGED
    assert client._fetch_max_wait_ms == FETCH_WAIT_MS, CHANGED
    assert "fetch_max_wait_ms=self._fetch_max_wait_ms" in source_of(aiokafka.AIOKafkaConsumer.start), CHANGED


async def test_error_that_ended_the_membership_is_raised(app: FaustApp) -> None:
    class Coordinator:
        def check_errors(self) -> None:
            raise PermissionError("fenced")

    class Client:
        _coordinator: Coordinator | None = None

    thread = app.consumer._thread
    assert thread._consumer is None, CHANGED
    app.check()
    thread._consumer = client = Client()
    app.check()
    client._coordinator = Coordinator()
    with pytest.raises(PermissionError, match="fenced"):
        app.check()
    assert callable(GroupCoordinator.check_errors), CHANGED
    assert "self._coordinator = " in source_of(aiokafka.AIOKafkaConsumer), CHANGED
    assert "self._consumer = " in source_of(driver.AIOKafkaConsumerThread), CHANGED


def test_tables_recover_through_attributes_that_the_consumer_sets(app: FaustApp) -> None:
    """These attributes of the recovery are public by name but undocumented."""
    store = app.table(CHANGELOG.topic, lambda old, new: True)
    assert isinstance(store, RecordStore), CHANGED
    tables = app.consumer.app.tables
    assert app.consumer.is_changelog(CHANGELOG), CHANGED
    assert not app.consumer.is_changelog(SOURCE), CHANGED
    assert tables[CHANGELOG.topic].data is store, CHANGED
    recovery = tables.recovery
    for name in ("active_offsets", "in_recovery", "need_recovery", "signal_recovery_end", "active_remaining_total"):
        assert hasattr(recovery, name), f"{CHANGED}: {name}"
    recovery.active_highwaters[CHANGELOG] = 5
    recovery.active_offsets[CHANGELOG] = 2
    assert app.remaining() == 3, CHANGED
    assert not app.recovered, CHANGED
