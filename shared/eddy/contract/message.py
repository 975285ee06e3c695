"""Consumed records and partitions, independent of the Kafka client."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Message:
    """A consumed record. `topic` is the name without prefix; `timestamp_ms` is the broker's append time.

    A `tombstone` has no value at all, which is read as an empty one. `by_eddy` marks the tombstones that Eddy wrote itself, and `cause`
    the record that one of these was written for (eddy.contract.erasure.cause_of), if any. `scenarios` are those of an item whose record
    a tombstone deletes, none for all, if its writer says so.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp_ms: int
    tombstone: bool = False
    by_eddy: bool = False
    cause: str = ""
    scenarios: tuple[str, ...] | None = None


class TopicPartition(NamedTuple):
    """A partition of a topic; `topic` is the full name, with prefix."""

    topic: str
    partition: int
