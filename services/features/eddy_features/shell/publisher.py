"""Writes whole batches to partitions, and waits until they are acknowledged."""

from collections.abc import Iterable, Mapping, Sequence

from eddy.contract.message import TopicPartition
from eddy.kafka.bus import Bus, Producer, settle
from eddy.kafka.partitions import partition_of
from eddy_features.shell.record_store import RecordStore

SERVICE = "features"
# Before compression. A partition has one request under way, so a batch should hold what there is.
BATCH_BYTES = 1024 * 1024

Records = Sequence[tuple[bytes, bytes]]


class StatePublisher:
    """Writes records of topics by short name.

    aiokafka has one request per broker and producer under way: sides that must not wait for each other have a publisher each.
    """

    def __init__(self, producer: Producer, bus: Bus) -> None:
        self._producer = producer
        self._bus = bus

    async def states(self, topic: str, records: Mapping[int, Records], store: RecordStore) -> None:
        """Write states, by partition; acknowledged, they are what `store` holds."""
        await settle([self._states(topic, partition, some, store) for partition, some in records.items() if some])

    async def _states(self, topic: str, partition: int, records: Records, store: RecordStore) -> None:
        last = await self._producer.write(topic, partition, records)
        for key, value in records:
            store.write(partition, key, value)
        store.set_persisted_offset(TopicPartition(self._bus.full_name(topic), partition), last)

    async def by_key(self, topic: str, records: Iterable[tuple[bytes, bytes]]) -> None:
        """Write records, each to the partition of its key."""
        by_partition: dict[int, list[tuple[bytes, bytes]]] = {}
        for record in records:
            by_partition.setdefault(partition_of(record[0], self._bus.partitions), []).append(record)
        await settle([self._producer.write(topic, partition, some) for partition, some in by_partition.items()])
