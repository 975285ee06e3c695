"""Which requests are answered, and so how far their partitions may be committed."""


class RequestLedger:
    """Offsets taken and done, per partition. Everything below `committable` is done."""

    def __init__(self) -> None:
        self._open: dict[int, dict[int, None]] = {}
        self._next: dict[int, int] = {}
        self._committed: dict[int, int] = {}

    def add(self, partition: int, offset: int) -> None:
        """Note a message that was read; offsets of a partition come in order."""
        self._open.setdefault(partition, {})[offset] = None
        self._next[partition] = offset + 1

    def done(self, partition: int, offset: int) -> None:
        """Note a message whose effect is out. One of a partition that was given up meanwhile is nobody's business."""
        self._open.get(partition, {}).pop(offset, None)

    def committable(self) -> dict[int, int]:
        """Next offset of each partition that has moved on since `committed`."""
        moved = {}
        for partition, following in self._next.items():
            offset = next(iter(self._open[partition]), following)
            if offset > self._committed.get(partition, -1):
                moved[partition] = offset
        return moved

    def committed(self, offsets: dict[int, int]) -> None:
        """Note what was committed."""
        self._committed.update({partition: offset for partition, offset in offsets.items() if partition in self._next})

    def drop_partitions(self, partitions: set[int]) -> None:
        """Give partitions up."""
        for partition in partitions:
            for kept in (self._open, self._next, self._committed):
                kept.pop(partition, None)
