"""The bytes that the replay publishes."""

from collections.abc import Sequence
from dataclasses import dataclass

from eddy.contract.codec import Codec
from eddy.contract.records import RecommendationRequest, UserEvent
from eddy_cli.replay.event_kind import EventKind

Sent = tuple[str, bytes]


@dataclass(frozen=True, slots=True)
class ReplayRecords:
    """Encodes the records of one replay. Ids begin with `run`, so that two replays on one broker do not meet.

    An item that is not in its list is acted on as the `event_kind` says, one in it is clicked.
    """

    run: str
    event_kind: EventKind
    limit: int
    deadline_ms: int

    def request(self, index: int, user_id: str, at_ms: int, after_offset: int | None, now_ms: int) -> Sent:
        """Id and bytes of the request that comes before event `index`."""
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
            "deadline_at": now_ms + self.deadline_ms,
            "requested_at": at_ms,
        }
        return request_id, Codec.of(RecommendationRequest).encode(record)

    def impression(self, index: int, user_id: str, at_ms: int) -> Sent:
        """Id and bytes of the event that says that the whole list of event `index` was shown."""
        return self._event(f"{self.run}-{index}-shown", user_id, "impression", at_ms, request_id=self.request_id(index))

    def click(self, index: int, user_id: str, item_id: str, value: float | None, at_ms: int, position: int) -> Sent:
        """Id and bytes of the action on an item of the list."""
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

    def unattributed(self, index: int, user_id: str, item_id: str, value: float | None, at_ms: int) -> Sent:
        """Id and bytes of the action on an item that the user found by themselves."""
        action = self.event_kind.action
        return self._event(f"{self.run}-{index}-{action}", user_id, action, at_ms, item_id=item_id, value=value)

    def action(
        self, index: int, user_id: str, item_id: str, value: float | None, at_ms: int, shown: Sequence[str]
    ) -> tuple[Sent, int | None]:
        """Id and bytes of what the user does who sees `shown`, and the place of the item there: a click on it, else the organic action."""
        if item_id not in shown:
            return self.unattributed(index, user_id, item_id, value, at_ms), None
        place = shown.index(item_id)
        return self.click(index, user_id, item_id, value, at_ms, place), place

    def request_id(self, index: int) -> str:
        return f"{self.run}-{index}"

    def index_of(self, request_id: str) -> int | None:
        """The event that a request came before; None for a request that is not of this replay."""
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
    ) -> Sent:
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
