"""The newest record of every item, for the console and for changes of single fields."""

import asyncio
from collections.abc import Iterable
from typing import TypedDict

import structlog

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.records import Item
from eddy.contract.topics import ITEMS
from eddy.errors import DecodeError
from eddy.kafka.bus import Bus, KafkaError, Reader

log = structlog.get_logger()

# Also how long a waiting reader overlooks offsets without a record, as those of aborted transactions.
_POLL_MS = 100


class ItemTitle(TypedDict):
    """The description of an item in the console."""

    title: str
    categories: tuple[str, ...]


class ItemStore:
    """Follows the topic `items`. In memory: the newest readable record of each item, as bytes, and its offset."""

    def __init__(self, bus: Bus) -> None:
        self._partitions = bus.topic_partitions(ITEMS)
        self._partition_of = bus.partition_of
        self._records: dict[str, tuple[int, bytes]] = {}
        self._positions = [0] * len(self._partitions)
        self._advanced = asyncio.Condition()
        self._codec = Codec.for_topic(ITEMS)
        self._reader: Reader | None = None

    async def run(self, reader: Reader) -> None:
        """Follow the topic from its beginning, until cancelled."""
        self._reader = reader
        while True:
            try:
                for message in await reader.batch(_POLL_MS):
                    self.apply(message)
                positions = [await reader.position(partition) for partition in self._partitions]
            except KafkaError as error:
                log.warning("items_not_read", error=repr(error))
                await asyncio.sleep(1)
                continue
            if positions != self._positions:
                async with self._advanced:
                    self._positions = positions
                    self._advanced.notify_all()

    def apply(self, message: Message) -> None:
        """Keep a record, or drop the item if its record was deleted. Unreadable records are skipped: the trainer dead-letters them."""
        try:
            if message.value:
                item_id = self._codec.decode(message.value)["item_id"]
                # A record in another partition than that of its item is refused by its readers too.
                if message.partition == self._partition_of(item_id):
                    self._records[item_id] = message.offset, message.value
            elif message.key:
                self._records.pop(message.key.decode(errors="replace"), None)
        except DecodeError as error:
            log.warning("item_skipped", partition=message.partition, offset=message.offset, detail=error.detail)

    def get(self, item_id: str) -> Item | None:
        """The newest record of an item; None if it was never published, or deleted."""
        _, value = self._records.get(item_id, (-1, b""))
        return self._codec.decode(value) if value else None

    def offset(self, item_id: str) -> int:
        """The offset of the newest record of an item; -1 if there is none."""
        return self._records.get(item_id, (-1, b""))[0]

    def titles(self, item_ids: Iterable[str]) -> dict[str, ItemTitle]:
        """The titles of those items that are published."""
        return {
            item_id: {"title": item["title"], "categories": tuple(item["categories"])}
            for item_id in item_ids
            if (item := self.get(item_id))
        }

    async def read_to_end(self, partition: int) -> None:
        """Wait until everything is read that the partition contains now."""
        assert self._reader is not None
        ends = await self._reader.end_offsets([self._partitions[partition]])
        await self.read_up_to(partition, ends[self._partitions[partition]])

    async def read_up_to(self, partition: int, offset: int) -> None:
        """Wait until all records of the partition before `offset` are read."""
        async with self._advanced:
            await self._advanced.wait_for(lambda: self._positions[partition] >= offset)
