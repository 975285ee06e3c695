"""Changes single fields of items: PATCH. No change is lost, whoever else writes the item at the same time."""

import asyncio
import uuid
from dataclasses import dataclass, field

import structlog

from eddy.contract.codec import Codec
from eddy.contract.records import Item
from eddy.contract.topics import ITEMS
from eddy.errors import FatalError, PoisonError, RetriableError
from eddy.kafka.bus import Bus, KafkaError, TransactionalProducer
from eddy.kafka.permissions import PERMISSION_ERRORS, describe_denial
from eddy_gateway.core.models import ItemPatch
from eddy_gateway.core.rules import Rules
from eddy_gateway.shell.item_store import ItemStore

log = structlog.get_logger()

# Each gateway has a transactional id of its own that begins with this.
TRANSACTIONAL_ID = "gateway-items-"
_TRANSACTION_TIMEOUT_MS = 10_000
_MAX_CHANGES = 500
_RETRY_SEC = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class _Change:
    """A change that waits for its turn. `done` is the changed item, or None for an unknown one."""

    item_id: str
    patch: ItemPatch
    done: "asyncio.Future[Item | None]" = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class ItemChanges:
    """Merges each change into the newest record of its item, and writes the whole record: readers need no former one.

    Kafka has no conditional write. So the record is written in a transaction, which fixes its offset before anybody can read it; the
    transaction is committed only if the item's last record before that offset is still the one that the change was merged into.
    Otherwise it is aborted, and the change is merged again.
    """

    def __init__(self, bus: Bus, store: ItemStore, rules: Rules, timeout_sec: float) -> None:
        self._bus = bus
        self._store = store
        self._rules = rules
        self._timeout_sec = timeout_sec
        self._waiting: list[_Change] = []
        self._added = asyncio.Event()
        self._codec = Codec.for_topic(ITEMS)

    async def apply(self, item_id: str, patch: ItemPatch) -> Item | None:
        """The changed item; None for an unknown one. Raises PoisonError for an invalid result, RetriableError after `timeout_sec`."""
        change = _Change(item_id, patch)
        self._waiting.append(change)
        self._added.set()
        try:
            async with asyncio.timeout(self._timeout_sec):
                return await change.done
        except TimeoutError as error:
            raise RetriableError(
                f"Kafka did not accept the write: no acknowledgement within {self._timeout_sec:g} s. Try again."
            ) from error

    async def scenarios_of(self, item_id: str) -> list[str] | None:
        """The scenarios of an item, none for all; None for an unknown item, and while Kafka does not answer."""
        try:
            async with asyncio.timeout(self._timeout_sec):
                await self._store.read_to_end(self._bus.partition_of(item_id))
        except (KafkaError, TimeoutError):
            return None
        item = self._store.get(item_id)
        return None if item is None else item["scenarios"]

    async def run(self) -> None:
        """Apply changes until cancelled. A change whose caller waits no longer is dropped."""
        while True:
            await self._added.wait()
            try:
                identity = TRANSACTIONAL_ID + uuid.uuid4().hex
                timeout = {"transaction_timeout_ms": _TRANSACTION_TIMEOUT_MS}
                async with self._bus.transactional_producer(identity, **timeout) as producer:
                    while True:
                        await self._added.wait()
                        await self._apply_next(producer)
            except PERMISSION_ERRORS as error:
                log.error("write_denied", reason=describe_denial(error))
                self._refuse_all("Kafka denies the write. Ask the operator of this service to look at its log.")
            except (KafkaError, FatalError, OSError, TimeoutError) as error:
                # With another producer: this one, or its open transaction, may be in any state.
                log.warning("item_changes_failed", error=repr(error))
                await asyncio.sleep(_RETRY_SEC)

    def _refuse_all(self, reason: str) -> None:
        for change in self._waiting:
            if not change.done.done():
                change.done.set_exception(RetriableError(reason))

    async def _apply_next(self, producer: TransactionalProducer) -> None:
        """Apply the waiting changes of one partition, as far as they fit into one batch. They wait on if they must be merged again."""
        self._waiting = [change for change in self._waiting if not change.done.done()]
        if not self._waiting:
            self._added.clear()
            return
        partition = self._bus.partition_of(self._waiting[0].item_id)
        same = [change for change in self._waiting if self._bus.partition_of(change.item_id) == partition]
        changes = same[:_MAX_CHANGES]
        async with asyncio.timeout(self._timeout_sec):
            await self._store.read_to_end(partition)
            bases = {change.item_id: self._store.offset(change.item_id) for change in changes}
            merged, written = self._merge(changes)
            if not written or await self._write(producer, partition, bases, written):
                for change, item in merged:
                    if item["item_id"] in written or item == self._store.get(item["item_id"]):
                        _finish(change, item)

    def _merge(self, changes: list[_Change]) -> tuple[list[tuple[_Change, Item]], dict[str, Item]]:
        """Each valid change with its item after it, and the items that differ from the stored ones. Finishes the other changes."""
        newest: dict[str, Item] = {}
        merged: list[tuple[_Change, Item]] = []
        for change in changes:
            item = newest.get(change.item_id) or self._store.get(change.item_id)
            if item is None:
                _finish(change, None)
                continue
            try:
                newest[change.item_id] = self._rules.changed_item(item, change.patch)
            except PoisonError as error:
                if not change.done.done():
                    change.done.set_exception(error)
                continue
            merged.append((change, newest[change.item_id]))
        return merged, {item_id: item for item_id, item in newest.items() if item != self._store.get(item_id)}

    async def _write(
        self, producer: TransactionalProducer, partition: int, bases: dict[str, int], items: dict[str, Item]
    ) -> bool:
        """Write items in one transaction, as many as fit into a batch: the others are removed from `items`. False if one was written
        by somebody else since it was read, and so none is stored."""
        records = [(item_id.encode(), self._codec.encode(item)) for item_id, item in items.items()]
        await producer.begin()
        try:
            sent = await producer.send_batch(ITEMS, partition, records)
            for item_id in list(items)[sent.count :]:
                del items[item_id]
            # One batch: no other record can be between these. Before them, all is readable once other transactions have ended.
            first = await sent.first_offset()
            await self._store.read_up_to(partition, first)
            if all(self._store.offset(item_id) == bases[item_id] for item_id in items):
                await producer.commit()
                # The broker lets readers have the records a moment after it has acknowledged the commit.
                await self._store.read_up_to(partition, first + sent.count)
                return True
        except BaseException:
            await producer.abort()
            raise
        await producer.abort()
        return False


def _finish(change: _Change, item: Item | None) -> None:
    if not change.done.done():
        change.done.set_result(item)
