"""Which partition a key goes to, and a partition as aiokafka wants it."""

from functools import lru_cache
from typing import Any

import aiokafka
from aiokafka.partitioner import murmur2

from eddy.contract.message import TopicPartition


@lru_cache(maxsize=200_000)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition that Kafka's default partitioner gives a key: murmur2, which is slow in Python, hence the cache."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def raw(partition: TopicPartition) -> Any:
    """aiokafka takes no other class than its own, though ours equals it."""
    return aiokafka.TopicPartition(*partition)
