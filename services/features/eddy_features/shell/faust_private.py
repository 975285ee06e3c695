"""Everything of Faust that is used and is private there; tests/features/test_faust_private.py says what breaks when Faust changes it.

faust-streaming 0.15.3. Why each is needed, and what was tried instead: docs/decisions/0006-faust.md.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from faust.transport.drivers import aiokafka as driver
from faust.types import TP

Records = Mapping[TP, Sequence[Any]]


class OpenConsumer(driver.Consumer):  # type: ignore[misc]  # Faust is untyped
    """Faust's consumer with what it hides: whole fetches, commits of any offset, what ended the membership. It reads what is committed."""

    async def next_fetch(self, timeout: float) -> tuple[Records, set[TP]]:
        """What one fetch brought, and the partitions that were active then. Waits while Faust has stopped the flow."""
        records, active = await self._wait_next_records(timeout)
        return records or {}, active or set()

    async def commit_offsets(self, offsets: Mapping[TP, int]) -> bool:
        """Commit next offsets; whether the group took them."""
        return bool(await self._commit(offsets))

    def check_membership(self) -> None:
        """Raise what ended the membership in the group, as being fenced does: Faust fetches on without noticing."""
        client = self._thread._consumer
        if client is not None and client._coordinator is not None:
            client._coordinator.check_errors()

    def _new_consumer_thread(self) -> Any:
        return _ReadCommitted(self, loop=self.loop, beacon=self.beacon)


class _ReadCommitted(driver.AIOKafkaConsumerThread):  # type: ignore[misc]  # Faust is untyped
    """What a publisher took back, by aborting a transaction, did not happen. Faust reads so only where it writes transactions itself."""

    def _create_worker_consumer(self, transport: Any) -> Any:
        client = super()._create_worker_consumer(transport)
        client._isolation_level = "read_committed"
        return client
