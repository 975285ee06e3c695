"""Measures the lag of a reader."""

from collections.abc import Iterable

from eddy.contract.message import Message
from eddy.kafka.bus import Bus, Reader
from eddy.metrics import LAG
from eddy_scorer.shell.service import SERVICE


def observe_lag(bus: Bus, reader: Reader, messages: Iterable[Message]) -> None:
    """Set the lag of the partitions of a batch that was read. The ends of partitions are as of the last fetch."""
    newest = {(message.topic, message.partition): message.offset for message in messages}
    for (topic, partition), offset in newest.items():
        (topic_partition,) = bus.topic_partitions(topic, [partition])
        end = reader.cached_end(topic_partition)  # None if the partition was revoked since
        if end is not None:
            LAG.labels(SERVICE, topic, partition).set(max(end - offset - 1, 0))
