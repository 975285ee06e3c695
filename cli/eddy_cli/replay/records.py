"""Encodes the records that the replay publishes."""

from collections.abc import Sequence
from dataclasses import dataclass

from eddy.contract.codec import Codec
from eddy.contract.records import RecommendationRequest, UserEvent
from eddy_cli.replay.event_kind import EventKind

IdAndBytes = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class ReplayRecords:
    """Encodes the records of one replay. Ids begin with `run`, so that replays on one broker do not collide.

    A recommended item is clicked; other items get an unattributed interaction of `event_kind`.
    """

    run: str
    event_kind: EventKind
    limit: int
    deadline_ms: int

    def request(self, index: int, user_id: str, at_ms: int, after_offset: int | None) -> IdAndBytes:
        """Id and bytes of the request for event `index`."""
        request_id = self.request_id(index)
        record: RecommendationRequest = {
            "request_id": request_id,
            "user_id": user_id,
            "scenario": self.event_kind.scenario,
            "limit": self.limit,
            "query": None,
            "candidates": None,
            "exclude": [],
            "after_offset": after_offset,
            "deadline_at": at_ms + self.deadline_ms,
            "requested_at": at_ms,
        }
        return request_id, Codec.of(RecommendationRequest).encode(record)

    def impression(self, index: int, user_id: str, at_ms: int) -> IdAndBytes:
        """Id and bytes of the impression of the whole slate of event `index`."""
        return self._event(f"{self.run}-{index}-shown", user_id, "impression", at_ms, request_id=self.request_id(index))

    def click(
        self, index: int, user_id: str, item_id: str, value: float | None, at_ms: int, position: int
    ) -> IdAndBytes:
        """Id and bytes of the click on an item of the slate."""
        return self._event(
            f"{self.run}-{index}-click",
            user_id,
            "click",
            at_ms,
            item_id=item_id,
            value=value if self.event_kind.explicit_rating else None,
            request_id=self.request_id(index),
            position=position,
        )

    def unattributed(self, index: int, user_id: str, item_id: str, value: float | None, at_ms: int) -> IdAndBytes:
        """Id and bytes of an interaction with an item that was not recommended."""
        action = self.event_kind.action
        return self._event(f"{self.run}-{index}-{action}", user_id, action, at_ms, item_id=item_id, value=value)

    def action(
        self, index: int, user_id: str, item_id: str, value: float | None, at_ms: int, item_ids: Sequence[str]
    ) -> tuple[IdAndBytes, int | None]:
        """Id and bytes of the interaction after the impression of `item_ids`, and the item's position there.

        It is a click; for an item that was not shown it is unattributed, and the position is None.
        """
        if item_id not in item_ids:
            return self.unattributed(index, user_id, item_id, value, at_ms), None
        position = item_ids.index(item_id)
        return self.click(index, user_id, item_id, value, at_ms, position), position

    def request_id(self, index: int) -> str:
        return f"{self.run}-{index}"

    def index_of(self, request_id: str) -> int | None:
        """The event of a request; None for a request of another client."""
        run, _, number = request_id.rpartition("-")
        return int(number) if run == self.run and number.isdigit() else None

    def _event(
        self,
        event_id: str,
        user_id: str,
        action: str,
        at_ms: int,
        *,
        item_id: str | None = None,
        value: float | None = None,
        request_id: str | None = None,
        position: int | None = None,
    ) -> IdAndBytes:
        record: UserEvent = {
            "event_id": event_id,
            "user_id": user_id,
            "scenario": self.event_kind.scenario,
            "action": action,
            "item_id": item_id,
            "value": value,
            "query": None,
            "request_id": request_id,
            "position": position,
            "occurred_at": at_ms,
            "attributes": {},
        }
        return event_id, Codec.of(UserEvent).encode(record)
