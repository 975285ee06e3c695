"""Tracks which requests are answered, and thus how far their partitions may be committed."""


class RequestLedger:
    """Offsets read and done per partition. All offsets below `committable` are done."""

    def __init__(self) -> None:
        self._open: dict[int, dict[int, None]] = {}
        self._next: dict[int, int] = {}
        self._committed: dict[int, int] = {}

    def add(self, partition: int, offset: int) -> None:
        """Add a message that was read. The offsets of a partition must be ascending."""
        self._open.setdefault(partition, {})[offset] = None
        self._next[partition] = offset + 1

    def done(self, partition: int, offset: int) -> None:
        """Mark a message as done. A message of a revoked partition is ignored."""
        self._open.get(partition, {}).pop(offset, None)

    def committable(self) -> dict[int, int]:
        """Next offset of each partition with progress since `committed`."""
        progress = {}
        for partition, following in self._next.items():
            offset = next(iter(self._open[partition]), following)
            if offset > self._committed.get(partition, -1):
                progress[partition] = offset
        return progress

    def committed(self, offsets: dict[int, int]) -> None:
        """Record committed offsets."""
        self._committed.update({partition: offset for partition, offset in offsets.items() if partition in self._next})

    def drop_partitions(self, partitions: set[int]) -> None:
        """Forget revoked partitions."""
        for partition in partitions:
            for offsets in (self._open, self._next, self._committed):
                offsets.pop(partition, None)
