"""All uses of Faust's private members. tests/features/test_faust_private.py fails if Faust changes one of them.

For faust-streaming 0.15.3. The reason for each, and what was tried instead: docs/decisions/0006-faust.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

Records = Mapping[TP, Sequence[Any]]

# Kafka answers the requests of a connection in order, so that a fetch without records holds up the requests of a rebalance. Faust's client
# waits 1500 ms.
FETCH_WAIT_MS = 50


class OpenConsumer(driver.Consumer):  # type: ignore[misc]  # Faust is untyped
    """Faust's consumer with access to whole fetches, commits of any offset and membership errors. It reads committed records only."""

    async def next_fetch(self, timeout: float) -> tuple[Records, set[TP]]:
        """Return the records of one fetch and the partitions that were active during it. Waits while Faust has paused the flow."""
        records, active = await self._wait_next_records(timeout)
        return records or {}, active or set()

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets; returns whether the group accepted them."""
        return bool(await self._commit(offsets))

    def check_membership(self) -> None:
        """Raise the error that ended the group membership, such as fencing. Faust itself keeps fetching without noticing."""
        client = self._thread._consumer
        if client is not None and client._coordinator is not None:
            client._coordinator.check_errors()

    def _new_consumer_thread(self) -> Any:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)


class _ConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust is untyped
    """A consumer thread that skips records of aborted transactions, as Faust does only if it writes transactions itself, and whose fetches
    are short."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        client = super()._create_worker_consumer(transport)
        client._isolation_level = "read_committed"
        client._fetch_max_wait_ms = FETCH_WAIT_MS
        return client
