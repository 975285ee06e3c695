"""Titles of items by id, for the console."""

from collections.abc import Iterable
from typing import TypedDict

import structlog

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.topics import ITEMS
from eddy.errors import DecodeError
from eddy.kafka.bus import Reader

log = structlog.get_logger()


class ItemTitle(TypedDict):
    """The description of an item in the console."""

    title: str
    categories: tuple[str, ...]


class TitleCache:
    """Title and categories of every published item, about 300 bytes each."""

    def __init__(self) -> None:
        self._items: dict[str, tuple[str, tuple[str, ...]]] = {}
        self._codec = Codec.for_topic(ITEMS)

    async def run(self, reader: Reader) -> None:
        """Follow the topic from its beginning, until cancelled."""
        while True:
            for message in await reader.batch(timeout_ms=500):
                self.apply(message)

    def apply(self, message: Message) -> None:
        """Add an item, or remove it if its record was deleted. Unreadable records are skipped: the trainer dead-letters them."""
        try:
            if message.value:
                record = self._codec.decode(message.value)
                self._items[record["item_id"]] = record["title"], tuple(record["categories"])
            elif message.key:
                self._items.pop(message.key.decode(errors="replace"), None)
        except DecodeError as error:
            log.warning("item_skipped", partition=message.partition, offset=message.offset, detail=error.detail)

    def find(self, item_ids: Iterable[str]) -> dict[str, ItemTitle]:
        """The titles of those items that have been published."""
        return {
            item_id: {"title": item[0], "categories": item[1]}
            for item_id in item_ids
            if (item := self._items.get(item_id))
        }
