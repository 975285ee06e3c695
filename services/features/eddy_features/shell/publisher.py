"""Writes batches to partitions and waits until they are acknowledged."""

from collections.abc import Iterable, Mapping, Sequence

from eddy.contract.message import TopicPartition
from eddy.kafka.bus import Bus, Producer, settle
from eddy.kafka.partitions import partition_of
from eddy_features.shell.record_store import RecordStore

SERVICE = "features"
# Before compression. Only one request per partition is in flight, so a batch should hold everything there is to write.
BATCH_BYTES = 1024 * 1024

# Key and record; None deletes the key.
Records = Sequence[tuple[bytes, bytes | None]]


class StatePublisher:
    """Writes records; topics are given by short name.

    aiokafka has one request per broker and producer in flight, so writers that must not wait for each other need a publisher each.
    """

    def __init__(self, producer: Producer, bus: Bus) -> None:
        self._producer = producer
        self._bus = bus

    async def publish_states(self, topic: str, records: Mapping[int, Records], store: RecordStore) -> None:
        """Write states by partition, and keep them in `store` once they are acknowledged."""
        await settle([self._write_states(topic, partition, part, store) for partition, part in records.items() if part])

    async def _write_states(self, topic: str, partition: int, records: Records, store: RecordStore) -> None:
        last = await self._producer.write(topic, partition, records)
        for key, value in records:
            store.write(partition, key, value)
        store.set_persisted_offset(TopicPartition(self._bus.full_name(topic), partition), last)

    async def publish_by_key(self, topic: str, records: Iterable[tuple[bytes, bytes | None]]) -> None:
        """Write each record to the partition of its key."""
        by_partition: dict[int, list[tuple[bytes, bytes | None]]] = {}
        for record in records:
            by_partition.setdefault(partition_of(record[0], self._bus.partitions), []).append(record)
        await settle([self._producer.write(topic, partition, part) for partition, part in by_partition.items()])
