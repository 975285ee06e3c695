"""A record as it was read from a topic, whatever read it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Message:
    """A consumed record. `topic` is the name without prefix; `timestamp_ms` is the broker's append time."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp_ms: int
