"""Reads batches of messages."""

from collections.abc import Mapping, Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import NoOffsetForPartitionError, OffsetOutOfRangeError

from eddy.contract.erasure import BY_EDDY, OF_SCENARIOS, decode_scenarios
from eddy.contract.message import Message, TopicPartition
from eddy.kafka.framing import Framing, is_framed
from eddy.kafka.gaps import note_gap
from eddy.kafka.partitions import raw

PARTITION_FETCH_BYTES = 4 * 1024 * 1024
OPTIONS: Mapping[str, Any] = {
    # A position outside of the log is an error, not a silent jump: `Reader.batch` counts it.
    "auto_offset_reset": "none",
    "enable_auto_commit": False,
    "isolation_level": "read_committed",
    "fetch_max_wait_ms": 50,
    "max_partition_fetch_bytes": PARTITION_FETCH_BYTES,
}


class Reader:
    """Reads its assigned partitions. Messages have short topic names, partitions full ones."""

    def __init__(self, client: AIOKafkaConsumer, framing: Framing, prefix: str) -> None:
        self._client = client
        self._framing = framing
        self._prefix = prefix

    async def batch(self, timeout_ms: int = 200, max_records: int = 1000, *partitions: TopicPartition) -> list[Message]:
        """Up to `max_records` messages, in order within a partition. Waits at most `timeout_ms` for the first one."""
        fetched = await self._fetch(*map(raw, partitions), timeout_ms=timeout_ms, max_records=max_records)
        return [await self._message(record) for records in fetched.values() for record in records]

    async def _fetch(self, *partitions: Any, timeout_ms: int, max_records: int | None = None) -> Mapping[Any, Any]:
        """Fetched records by partition. Partitions without a position start at their beginning; see `_continue_after_gap` for others."""
        try:
            fetched: Mapping[Any, Any] = await self._client.getmany(
                *partitions, timeout_ms=timeout_ms, max_records=max_records
            )
        except NoOffsetForPartitionError as error:  # of a group without a commit
            await self._client.seek_to_beginning(error.args[0])
            return {}
        except OffsetOutOfRangeError as error:
            await self._continue_after_gap(error.args[0])
            return {}
        return fetched

    async def _continue_after_gap(self, positions: Mapping[Any, int]) -> None:
        """Continue within the logs where these positions are outside of them. A new leader may refuse a position for a moment."""
        starts, ends = await self._client.beginning_offsets(positions), await self._client.end_offsets(positions)
        for partition, position in positions.items():
            topic = partition.topic.removeprefix(self._prefix)
            self._client.seek(
                partition, note_gap(topic, partition.partition, position, starts[partition], ends[partition])
            )

    def assignment(self) -> frozenset[TopicPartition]:
        """The assigned partitions."""
        return frozenset(TopicPartition(*partition) for partition in self._client.assignment())

    async def position(self, partition: TopicPartition) -> int:
        """Offset of the next record to read."""
        return int(await self._client.position(raw(partition)))

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Continue at `offset`."""
        self._client.seek(raw(partition), offset)

    async def seek_to_end(self) -> None:
        """Continue at the present end of all assigned partitions."""
        for partition, end in (await self.end_offsets()).items():
            self.seek(partition, end)

    async def seek_to_time(self, partitions: Sequence[TopicPartition], at_ms: int) -> None:
        """Continue with the first records that Kafka received at `at_ms` or later, at the end if there are none."""
        found = await self._client.offsets_for_times({raw(partition): max(at_ms, 0) for partition in partitions})
        ends = await self.end_offsets(partitions)
        for partition in partitions:
            offset = found[raw(partition)]
            self.seek(partition, ends[partition] if offset is None else offset.offset)

    async def end_offsets(self, partitions: Sequence[TopicPartition] | None = None) -> dict[TopicPartition, int]:
        """The offset after the last committed record of each partition, in the order of `partitions`."""
        requested = self._requested(partitions)
        return _in_order(requested, await self._client.end_offsets(list(map(raw, requested))))

    async def beginning_offsets(self, partitions: Sequence[TopicPartition] | None = None) -> dict[TopicPartition, int]:
        """The offset of the first retained record of each partition, in the order of `partitions`."""
        requested = self._requested(partitions)
        return _in_order(requested, await self._client.beginning_offsets(list(map(raw, requested))))

    async def at_end(self, ends: Mapping[TopicPartition, int]) -> bool:
        """Whether all positions have reached `ends`."""
        return all([await self.position(partition) >= end for partition, end in ends.items()])

    def cached_end(self, partition: TopicPartition) -> int | None:
        """The end of a partition as of the last fetch, without a request; None before the first fetch and for unassigned partitions."""
        if partition not in self._client.assignment():
            return None
        end: int | None = self._client.highwater(raw(partition))
        return end

    def _requested(self, partitions: Sequence[TopicPartition] | None) -> Sequence[TopicPartition]:
        return partitions or sorted(self.assignment())

    async def _message(self, record: Any) -> Message:
        topic, value = record.topic.removeprefix(self._prefix), record.value or b""
        if is_framed(value):
            value = await self._framing.unframe(topic, value)
        return message_of(record, topic, value)


def message_of(record: Any, topic: str, value: bytes) -> Message:
    """The message of a client's record, with the short name of its topic and its value without framing."""
    tombstone = record.value is None
    headers = dict(record.headers) if tombstone else {}
    cause, scenarios = headers.get(BY_EDDY), headers.get(OF_SCENARIOS)
    return Message(
        topic,
        record.partition,
        record.offset,
        record.key,
        value,
        record.timestamp,
        tombstone,
        by_eddy=cause is not None,
        cause=(cause or b"").decode(errors="replace"),
        scenarios=None if scenarios is None else decode_scenarios(scenarios),
    )


def _in_order(partitions: Sequence[TopicPartition], offsets: Mapping[Any, int]) -> dict[TopicPartition, int]:
    """The offsets by partition. A broker answers in an order of its own."""
    return {partition: offsets[raw(partition)] for partition in partitions}
