"""Turns the content of HTTP requests into records, and checks them as the services that read them do (eddy.contract)."""

from collections import Counter
from collections.abc import Sequence

from eddy.contract.checks import check_names, check_user
from eddy.contract.events import EventContract
from eddy.contract.items import check_item, check_published_item
from eddy.contract.limits import REMEMBERED_EVENTS
from eddy.contract.records import Item, RecommendationRequest, UserEvent
from eddy.contract.requests import RequestContract
from eddy.contract.scenarios import Scenarios
from eddy.errors import PoisonError
from eddy_gateway.core.models import EventIn, ItemIn, ItemPatch


class Rules:
    """Checks content by the contract of each record. Each method raises PoisonError with reason, field and what to do."""

    def __init__(self, scenarios: Scenarios) -> None:
        self._events = EventContract(scenarios)
        self._scenarios = scenarios
        self._requests = RequestContract(scenarios)

    def event(self, event: EventIn, now_ms: int) -> UserEvent:
        """The `user_event` record, usable for features and joiner."""
        record = event.record(now_ms)
        self._events.check(record, event.user_id.encode(), now_ms)
        return record

    def batch(self, events: Sequence[EventIn], maximum: int) -> None:
        """Check the number of events: at most `maximum`, and of each user at most the number that features recognises as duplicates."""
        if len(events) > maximum:
            raise PoisonError(
                "too_long", f"{len(events)} events in this request; the maximum is {maximum}. Split the request."
            )
        user_id, count = Counter(event.user_id for event in events).most_common(1)[0] if events else ("", 0)
        if count > REMEMBERED_EVENTS:
            problem = f"user {user_id[:64]} has {count} events in this request; the maximum is {REMEMBERED_EVENTS}."
            raise PoisonError("too_long", f"{problem} Split the request.", "user_id")

    def user_id(self, user_id: str) -> None:
        """Check an id that stands alone."""
        check_user(user_id, user_id.encode())

    def item_id(self, item_id: str) -> None:
        """Check an id that stands alone."""
        check_names("item_id", [item_id])

    def item(self, item_id: str, item: ItemIn) -> Item:
        """The `item` record, usable for scorer and trainer."""
        record = item.record(item_id)
        check_published_item(record, item_id.encode(), self._scenarios)
        return record

    def changed_item(self, item: Item, patch: ItemPatch) -> Item:
        """`item` after a change. The scenarios of the present item need not exist any more, if the change does not name them."""
        record = patch.apply_to(item)
        if "scenarios" in patch.model_fields_set:
            check_published_item(record, item["item_id"].encode(), self._scenarios)
        else:
            check_item(record, item["item_id"].encode())
        return record

    def request(self, record: RecommendationRequest, now_ms: int) -> RecommendationRequest:
        """The `recommendation_request` record, which the scorer will not refuse."""
        self._requests.check(record, record["user_id"].encode(), now_ms)
        return record
