"""The partition of a key, and conversion of partitions for aiokafka."""

from functools import lru_cache
from typing import Any

import aiokafka
from aiokafka.partitioner import murmur2

from eddy.contract.message import TopicPartition


@lru_cache(maxsize=200_000)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key by Kafka's default partitioner. Cached, because murmur2 is slow in Python."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def raw(partition: TopicPartition) -> Any:
    """The partition as aiokafka's own class, which it requires."""
    return aiokafka.TopicPartition(*partition)
