"""A table's records by partition, as they were published: the store that Faust's tables recover into."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import structlog
from faust import stores
from faust.stores import memory
from faust.types import TP

log = structlog.get_logger()

URL = "records://"
# How Faust lets others bring a store: a name for its class, which a table's `store` URL has as its scheme.
stores.STORES.aliases["records"] = f"{__name__}:RecordStore"


class RecordStore(memory.Store):  # type: ignore[misc]  # Faust is untyped
    """Records by partition and key.

    `replaces(old, new)` says whether a record read back takes the place of the one before it (None when there is none): a worker that
    was paused and lost its partitions may still get a late write through, and must not take the state back.
    """

    replaces: Callable[[bytes | None, bytes], bool]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.partitions: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._through: dict[TP, int] = {}
        super().__init__(*args, **kwargs)

    def read(self, partition: int, key: bytes) -> bytes | None:
        """The record of a key."""
        return self.partitions[partition].get(key)

    def write(self, partition: int, key: bytes, value: bytes) -> None:
        """Keep a record that is acknowledged."""
        self.partitions[partition][key] = value

    def recover(self, tp: TP, batch: Sequence[Any]) -> None:
        """Take the next records of a changelog partition."""
        records = self.partitions[tp.partition]
        for record in batch:
            if record.value is None:
                records.pop(record.key, None)
            elif record.key is not None and self.replaces(records.get(record.key), record.value):
                records[record.key] = record.value
            else:
                log.warning("record_not_taken", topic=tp.topic, partition=tp.partition, offset=record.offset)
        self.set_persisted_offset(tp, batch[-1].offset)

    def persisted_offset(self, tp: TP) -> int:
        """Recovery goes on from here: what was read, or written by this process, need not be read again.

        Never None: Faust would go on from where it was when it last had the partition.
        """
        return self._through.get(tp, -1)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Note the last offset that is read or written."""
        self._through[tp] = max(offset, self._through.get(tp, -1))

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop the records of partitions that go, and what is left of those that come."""
        for tp in revoked | newly_assigned:
            if tp.topic == self.table.changelog_topic_name:
                self.partitions.pop(tp.partition, None)
                self._through.pop(tp, None)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Partitions that went were dropped when they went."""

    def size(self) -> int:
        """Records of all partitions."""
        return sum(map(len, self.partitions.values()))
