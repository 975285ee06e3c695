"""The published records of a table by partition: the store into which Faust recovers its tables."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import structlog
from faust import stores
from faust.stores import memory
from faust.types import TP

log = structlog.get_logger()

URL = "records://"
# Faust's way to register a store class: a name that the `store` URL of a table uses as its scheme.
stores.STORES.aliases["records"] = f"{__name__}:RecordStore"


class RecordStore(memory.Store):  # type: ignore[misc]  # Faust is untyped
    """Records by partition and key.

    `replaces(old, new)` decides whether a recovered record replaces its predecessor (None for the first one). A worker that was paused and
    lost its partitions may still complete a late write, and that must not set the state back.
    """

    replaces: Callable[[bytes | None, bytes], bool]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.partitions: dict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._last_offsets: dict[TP, int] = {}
        super().__init__(*args, **kwargs)

    def read(self, partition: int, key: bytes) -> bytes | None:
        """Return the record of a key, or None."""
        return self.partitions[partition].get(key)

    def sample(self, partition: int, count: int) -> list[tuple[bytes, bytes]]:
        """Some keys and records of a partition."""
        return list(islice(self.partitions[partition].items(), count))

    def write(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Keep an acknowledged record, or with None delete it."""
        if value is None:
            self.partitions[partition].pop(key, None)
        else:
            self.partitions[partition][key] = value

    def recover(self, tp: TP, batch: Sequence[Any]) -> None:
        """Apply the next records of a changelog partition."""
        records = self.partitions[tp.partition]
        for record in batch:
            if record.value is None:
                records.pop(record.key, None)
            elif record.key is not None and self.replaces(records.get(record.key), record.value):
                records[record.key] = record.value
            else:
                log.warning("record_ignored", topic=tp.topic, partition=tp.partition, offset=record.offset)
        self.set_persisted_offset(tp, batch[-1].offset)

    def persisted_offset(self, tp: TP) -> int:
        """Return the offset after which recovery continues: the last one that this process read or wrote, -1 for none.

        Never None: Faust would then continue where it was when it last owned the partition.
        """
        return self._last_offsets.get(tp, -1)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Record the last offset that was read or written."""
        self._last_offsets[tp] = max(offset, self._last_offsets.get(tp, -1))

    async def on_rebalance(
        self, assigned: set[TP], revoked: set[TP], newly_assigned: set[TP], generation_id: int = 0
    ) -> None:
        """Drop the records of revoked partitions, and stale records of newly assigned ones."""
        for tp in revoked | newly_assigned:
            if tp.topic == self.table.changelog_topic_name:
                self.partitions.pop(tp.partition, None)
                self._last_offsets.pop(tp, None)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Nothing to do: `on_rebalance` dropped the revoked partitions."""

    def size(self) -> int:
        """Return the number of records in all partitions."""
        return sum(map(len, self.partitions.values()))
