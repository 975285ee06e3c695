"""What items are called, by id: the console shows titles."""

from collections.abc import Iterable
from typing import TypedDict

import structlog

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.topics import ITEMS
from eddy.errors import DecodeError
from eddy.kafka.bus import Reader

log = structlog.get_logger()


class KnownItem(TypedDict):
    """What the console shows of an item."""

    title: str
    categories: tuple[str, ...]


class Shelf:
    """Title and categories of every item that was published; memory follows their number (some 300 bytes each)."""

    def __init__(self) -> None:
        self._items: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._codec = Codec.for_topic(ITEMS)

    def __len__(self) -> int:
        return len(self._items)

    async def run(self, reader: Reader) -> None:
        """Follow the topic from its beginning, until cancelled."""
        while True:
            for message in await reader.batch(timeout_ms=500):
                self.take(message)

    def take(self, message: Message) -> None:
        """Take an item in, or off the shelf where its record was deleted. One that cannot be read is the trainer's to dead-letter."""
        try:
            if message.value:
                record = self._codec.decode(message.value)
                self._items[record["item_id"]] = record["title"], tuple(record["categories"])
            elif message.key:
                self._items.pop(message.key.decode(errors="replace"), None)
        except DecodeError as error:
            log.warning("item_refused", partition=message.partition, offset=message.offset, detail=error.detail)

    def find(self, item_ids: Iterable[str]) -> dict[str, KnownItem]:
        """Those that are known."""
        return {
            item_id: {"title": found[0], "categories": found[1]}
            for item_id in item_ids
            if (found := self._items.get(item_id))
        }
