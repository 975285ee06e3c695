"""What the gateway stores and asks: bodies as records that pass the checks of the services that read them (eddy.contract)."""

from collections import Counter
from collections.abc import Sequence

from eddy.contract.events import EventContract
from eddy.contract.items import check_published_item
from eddy.contract.limits import REMEMBERED_EVENTS
from eddy.contract.records import Item, RecommendationRequest, UserEvent
from eddy.contract.requests import RequestContract
from eddy.contract.scenarios import Scenarios
from eddy.errors import PoisonError
from eddy_gateway.core.models import EventIn, ItemIn


class Rules:
    """Records of bodies. Each method raises PoisonError with reason, field and mend: over HTTP there is somebody to tell."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._events = EventContract(scenarios)
        self._scenarios = scenarios
        self._requests = RequestContract(scenarios)

    def event(self, event: EventIn, now_ms: int) -> UserEvent:
        """The `user_event` record, which features and joiner will use."""
        record = event.record(now_ms)
        self._events.check(record, event.user_id.encode(), now_ms)
        return record

    def batch(self, events: Sequence[EventIn], most: int) -> None:
        """At most `most` events, and of each user as many as features remembers: repeated, all of them are still duplicates."""
        if len(events) > most:
            raise PoisonError(
                "too_long", f"{len(events)} events in this request; the maximum is {most}. Split the request."
            )
        user_id, count = Counter(event.user_id for event in events).most_common(1)[0] if events else ("", 0)
        if count > REMEMBERED_EVENTS:
            said = f"user {user_id[:64]} has {count} events in this request; the maximum is {REMEMBERED_EVENTS}."
            raise PoisonError("too_long", f"{said} Split the request.", "user_id")

    def item(self, item_id: str, item: ItemIn) -> Item:
        """The `item` record, which scorer and trainer will use."""
        record = item.record(item_id)
        check_published_item(record, item_id.encode(), self._scenarios)
        return record

    def request(self, record: RecommendationRequest, now_ms: int) -> RecommendationRequest:
        """A `recommendation_request` record that the scorer will answer."""
        self._requests.check(record, record["user_id"].encode(), now_ms)
        return record
