"""Consumed records and partitions, independent of the Kafka client."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Message:
    """A consumed record. `topic` is the name without prefix; `timestamp_ms` is the broker's append time."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp_ms: int


class TopicPartition(NamedTuple):
    """A partition of a topic; `topic` is the full name, with prefix."""

    topic: str
    partition: int
