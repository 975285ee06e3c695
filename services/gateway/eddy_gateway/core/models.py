"""What goes over HTTP: the same names and meanings as the records in schemas/.

These models check types alone. Limits are shown in the description of the API; that they are kept is checked once, for every way in
(eddy.contract, by way of Rules).
"""

import uuid
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from eddy.contract.legacy import LEGACY_ACTIONS
from eddy.contract.limits import (
    MAX_ATTRIBUTES,
    MAX_CATEGORIES,
    MAX_DESCRIPTION_CHARS,
    MAX_ID_CHARS,
    MAX_POSITION,
    MAX_TEXT_CHARS,
    MAX_TIME_MS,
    MIN_TIME_MS,
)
from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.records import Item, Recommendations, UserEvent


def chars(most: int, least: int = 0) -> Any:
    """Text, said to have `least` to `most` characters. `min_length=0` makes Pydantic refuse text that UTF-8 cannot carry."""
    return Field(min_length=0, json_schema_extra={"minLength": least, "maxLength": most})


def at_most(entries: int, name: str = "maxItems") -> Any:
    """A list, or with `maxProperties` a map, said to have so many entries at most."""
    return Field(json_schema_extra={name: entries})


def within(least: int, most: int) -> Any:
    """A number, said to be within these."""
    return Field(json_schema_extra={"minimum": least, "maximum": most})


Id = Annotated[str, chars(MAX_ID_CHARS, 1)]
Text = Annotated[str, chars(MAX_TEXT_CHARS)]
Attributes = Annotated[dict[Id, Text], at_most(MAX_ATTRIBUTES, "maxProperties")]
Milliseconds = Annotated[int, within(0, MAX_TIME_MS)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EventIn(_Body):
    """Something a user did, or an impression."""

    event_id: Annotated[str, chars(MAX_ID_CHARS)] = Field(
        "", description="Unique; send it again after a failure and it counts once. Empty or left out, it is made up."
    )
    user_id: Id
    scenario: Id
    action: Id
    item_id: Id | None = Field(
        None, description="Needed by most actions; an impression without it is of the whole list."
    )
    value: float | None = Field(None, description="A rating, seconds played, a price.")
    query: Text | None = None
    request_id: Id | None = Field(None, description="Request whose list the user was looking at.")
    position: Annotated[int, within(0, MAX_POSITION)] | None = None
    occurred_at: Milliseconds | None = Field(None, description="Milliseconds since the epoch; now when left out.")
    attributes: Attributes = {}

    def record(self, now_ms: int) -> UserEvent:
        """The `user_event` record, with what was left out."""
        return {
            "event_id": self.event_id or uuid.uuid4().hex,
            "user_id": self.user_id,
            "scenario": self.scenario,
            "action": self.action,
            "item_id": self.item_id,
            "value": self.value,
            "query": self.query,
            "request_id": self.request_id,
            "position": self.position,
            "occurred_at": now_ms if self.occurred_at is None else self.occurred_at,
            "attributes": self.attributes,
        }


class AcceptedEvent(BaseModel):
    """An event that Kafka has stored."""

    event_id: str
    offset: int = Field(description="Hand the last one back as `after_offset`, and the list knows the event.")


class Accepted(BaseModel):
    """All events of the POST, in its order."""

    accepted: list[AcceptedEvent]


class ItemIn(_Body):
    """A thing that can be recommended; PUT again to change it."""

    scenarios: Annotated[list[Id], at_most(MAX_SCENARIOS)] = Field(
        default=[], description="Scenarios it may be recommended in; empty means all."
    )
    title: Text = ""
    text: Annotated[str, chars(MAX_DESCRIPTION_CHARS)] | None = None
    categories: Annotated[list[Id], at_most(MAX_CATEGORIES)] = []
    attributes: Attributes = {}
    available: bool = Field(True, description="False takes it out of every list at once.")
    published_at: Annotated[int, within(MIN_TIME_MS, MAX_TIME_MS)] | None = Field(
        None, description="Milliseconds since the epoch."
    )

    def record(self, item_id: str) -> Item:
        """The `item` record."""
        return {
            "item_id": item_id,
            "scenarios": self.scenarios,
            "title": self.title,
            "text": self.text,
            "categories": self.categories,
            "attributes": self.attributes,
            "available": self.available,
            "published_at": self.published_at,
        }


class StoredItem(BaseModel):
    """An item that Kafka has stored."""

    item_id: str


class RecommendedItem(BaseModel):
    """One place of the list."""

    item_id: str
    position: int
    score: float
    predictions: dict[str, float] = Field(description="Probability of each action; empty without a model.")
    propensity: float
    source: str
    reason: str


class RecommendationsOut(BaseModel):
    """A list. Name its `request_id` in impressions and clicks, so that it is learned from."""

    request_id: str
    user_id: str
    scenario: str
    model_version: int
    policy: str
    applied_offset: int = Field(description="Offset of the user's last event that the list knows; -1 when none.")
    served_at: int
    items: list[RecommendedItem]

    @classmethod
    def of(cls, record: Recommendations) -> "RecommendationsOut":
        """From a `recommendations` record."""
        return cls.model_validate({**record, "items": _items(record)})


def _items(record: Recommendations) -> list[dict[str, Any]]:
    names = record["prediction_names"] or LEGACY_ACTIONS
    return [{**item, "predictions": dict(zip(names, item["predictions"], strict=False))} for item in record["items"]]
