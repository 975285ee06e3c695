"""Finds the record of a user by a scan of the user's partition: requests are too rare for a copy of all records."""

import asyncio

from eddy.contract.codec import Codec
from eddy.contract.records import UserFeatures
from eddy.contract.topics import USER_FEATURES
from eddy.errors import DecodeError, RetriableError
from eddy.kafka.bus import Bus, KafkaError

SCAN_SEC = 60.0
_BATCH_RECORDS = 5000


class UserRecords:
    """Reads `user-features`, one scan at a time: about 100,000 records a second."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._one_at_a_time = asyncio.Semaphore(1)

    async def find(self, user_id: str) -> UserFeatures | None:
        """The newest record of a user; None if there is none. Raises RetriableError after SCAN_SEC, and if Kafka does not answer."""
        try:
            async with asyncio.timeout(SCAN_SEC), self._one_at_a_time:
                value = await self._newest(user_id.encode())
                return Codec.for_topic(USER_FEATURES).decode(value) if value else None
        except TimeoutError as error:
            raise RetriableError(f"no answer within {SCAN_SEC:g} s: other users are being read. Try again.") from error
        except KafkaError as error:
            raise RetriableError(f"Kafka did not answer: {error!r}. Try again.") from error
        except DecodeError as error:
            raise RetriableError("the record of this user is being replaced. Try again.") from error

    async def _newest(self, key: bytes) -> bytes:
        """The value of the last record with a key; empty if there is none, or if it is a tombstone."""
        newest = b""
        partitions = self._bus.topic_partitions(USER_FEATURES, [self._bus.partition_of_key(key)])
        async with self._bus.reader(partitions) as reader:
            ends = await reader.end_offsets(partitions)
            while not await reader.at_end(ends):
                for message in await reader.batch(max_records=_BATCH_RECORDS):
                    if message.key == key:
                        newest = message.value
        return newest
