"""The slates that were served of late: an impression counts for the items of its slate, and only if the slate was served to its user."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.records import Recommendations
from eddy.errors import DecodeError

_SEPARATOR = "\0"


class ServedSlate(NamedTuple):
    """A slate: its scenario, and the ids of its items in order."""

    scenario: str
    items: list[str]


class ServedSlates:
    """The last slates by user and request: at most `maximum`, none that Kafka received more than `keep_ms` before the newest one."""

    def __init__(self, keep_ms: int = 3_600_000, maximum: int = 200_000) -> None:
        self.keep_ms = keep_ms
        self._maximum = maximum
        self._decode: Callable[[bytes], Recommendations] = Codec.of(Recommendations).until("items").decode
        # Scenario and items in one string: there are many slates.
        self._slates: OrderedDict[tuple[str, str], tuple[int, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._slates)

    def add(self, message: Message) -> None:
        """Add the slate in a message of `recommendations`. What is no slate is left to the joiner, which refuses it."""
        try:
            record = self._decode(message.value)
        except DecodeError:
            return
        if not record["items"] or message.key != record["user_id"].encode():
            return
        names = [record["scenario"], *(item["item_id"] for item in record["items"])]
        self._slates.setdefault(
            (record["user_id"], record["request_id"]), (message.timestamp_ms, _SEPARATOR.join(names))
        )
        while len(self._slates) > self._maximum or self._oldest() < message.timestamp_ms - self.keep_ms:
            self._slates.popitem(last=False)

    def find(self, user_id: str, request_id: str) -> ServedSlate | None:
        """The slate of a user's request; None if it was not served, or too long ago."""
        entry = self._slates.get((user_id, request_id))
        if entry is None:
            return None
        scenario, *items = entry[1].split(_SEPARATOR)
        return ServedSlate(scenario, items)

    def forget(self, user_id: str, until_ms: int) -> None:
        """Drop a user's slates that Kafka received until then."""
        for key in [key for key, (at, _) in self._slates.items() if key[0] == user_id and at <= until_ms]:
            del self._slates[key]

    def _oldest(self) -> int:
        return next(iter(self._slates.values()))[0]
