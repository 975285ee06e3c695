"""A Faust application that handles whole batches: its group, its tables, and its life cycle.

Faust manages membership, assignment, seeking, the order of recovery and the timing of commits. `BatchConsumer` hands over all records of
a fetch instead of one message at a time and knows which offsets are processed; `RecordStore` keeps the records of a table by partition.
Reasons: docs/decisions/0006-faust.md.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import faust
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver

from eddy.kafka.bus import Bus
from eddy.kafka.login import Login
from eddy_features.shell import record_store
from eddy_features.shell.batch_consumer import BatchConsumer, RecordHandler
from eddy_features.shell.record_store import RecordStore


@dataclass(frozen=True)
class FaustOptions:
    """How the application joins its group and how it fetches and commits.

    `url` identifies the member. With an `instance_id` it must be the same after a restart, because the group then gives the member its
    former assignment.
    """

    group: str
    servers: str
    login: Login
    datadir: str
    url: str
    instance_id: str | None
    session_timeout_sec: float
    commit_interval_sec: float
    batch_records: int


class _Transport(driver.Transport):  # type: ignore[misc]  # Faust is untyped
    Consumer = BatchConsumer


class FaustApp:
    """A Faust application over source topics and tables, all with the same partitions."""

    def __init__(self, options: FaustOptions) -> None:
        self._app = faust.App(
            options.group,
            broker=";".join(f"kafka://{server.strip()}" for server in options.servers.split(",")),
            broker_credentials=_credentials(options.login),
            datadir=options.datadir,
            canonical_url=options.url,
            store=record_store.URL,
            key_serializer="raw",
            value_serializer="raw",
            web_enabled=False,
            topic_disable_leader=True,
            # The changelogs exist: `Bus.create_topics` creates them. Declaring them again would need the ACL Create.
            topic_allow_declare=False,
            stream_wait_empty=True,
            table_standby_replicas=0,
            consumer_group_instance_id=options.instance_id,
            consumer_auto_offset_reset="earliest",
            broker_session_timeout=options.session_timeout_sec,
            broker_heartbeat_interval=options.session_timeout_sec / 4,
            broker_commit_interval=options.commit_interval_sec,
            broker_max_poll_records=options.batch_records,
        )
        self._app.transport = self._app.producer_transport = _Transport(self._app.conf.broker_consumer, self._app)

    def table(self, topic: str, replaces: Callable[[bytes | None, bytes], bool]) -> RecordStore:
        """Return a store of the records of `topic`, which is recovered before any source record is handed over."""
        changelog = self._app.topic(topic, acks=False, internal=True, allow_empty=True)
        table = self._app.Table(
            topic, key_type=bytes, value_type=bytes, changelog_topic=changelog, use_partitioner=True
        )
        store: RecordStore = table.data
        store.replaces = replaces
        return store

    @property
    def consumer(self) -> BatchConsumer:
        consumer: BatchConsumer = self._app.consumer
        return consumer

    @property
    def recovered(self) -> bool:
        """Whether the tables are recovered and source records are being handed over."""
        return bool(self._app.tables.actives_ready)

    def remaining(self) -> int:
        """Return the number of changelog records that recovery has yet to read."""
        return int(self._app.tables.recovery.active_remaining_total())

    def check(self) -> None:
        """Raise the error that ended the group membership, if any."""
        self.consumer.check_membership()

    @property
    def assigned(self) -> bool:
        """Whether this member has partitions."""
        try:
            return bool(self._app.consumer.assignment())
        except ConsumerNotStarted:
            return False

    async def run(self, handler: RecordHandler, bus: Bus, sources: Iterable[str]) -> None:
        """Hand over the records of the topics `sources` until cancelled. Raises the error of a crash."""
        self.consumer.handler, self.consumer.bus = handler, bus
        for topic in sources:
            self._app.topics.add(self._app.topic(bus.full_name(topic)))
        try:
            await self._app.start()
            await self._app.wait_until_stopped()
        finally:
            await asyncio.shield(self._app.stop())
        raise self._app.crash_reason or RuntimeError("Faust stopped without an error; restart the service")


def _credentials(login: Login) -> Any:
    if login.mechanism:
        return faust.SASLCredentials(
            username=login.username, password=login.password, ssl_context=login.tls, mechanism=login.mechanism
        )
    return faust.SSLCredentials(login.tls) if login.tls else None
