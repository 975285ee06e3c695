"""The bodies of HTTP requests and answers, with the names and meanings of the records in schemas/.

These models check types only. They declare limits for the API reference; `Rules` checks them, by the contract that also holds for
records from Kafka (eddy.contract).
"""

import uuid
from base64 import b64encode
from typing import Annotated, Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, create_model

from eddy.contract.legacy import LEGACY_ACTIONS
from eddy.contract.limits import (
    MAX_ATTRIBUTES,
    MAX_CATEGORIES,
    MAX_DESCRIPTION_CHARS,
    MAX_ID_CHARS,
    MAX_OFFSET,
    MAX_POSITION,
    MAX_PUBLISHED_MS,
    MAX_TEXT_CHARS,
    MIN_EVENT_MS,
    MIN_PUBLISHED_MS,
)
from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.records import Item, Recommendations, UserEvent, UserFeatures


def chars(maximum: int, minimum: int = 0) -> Any:
    """Declare text of `minimum` to `maximum` characters. `min_length=0` makes Pydantic refuse text that is not encodable in UTF-8."""
    return Field(min_length=0, json_schema_extra={"minLength": minimum, "maxLength": maximum})


def max_entries(maximum: int, keyword: str = "maxItems") -> Any:
    """Declare a list, or with the keyword `maxProperties` a map, of at most `maximum` entries."""
    return Field(json_schema_extra={keyword: maximum})


def number(minimum: int, maximum: int) -> Any:
    """Declare a number of `minimum` to `maximum`."""
    return Field(json_schema_extra={"minimum": minimum, "maximum": maximum})


Id = Annotated[str, chars(MAX_ID_CHARS, 1)]
Text = Annotated[str, chars(MAX_TEXT_CHARS)]
Attributes = Annotated[dict[Id, Text], max_entries(MAX_ATTRIBUTES, "maxProperties")]
Milliseconds = Annotated[int, number(MIN_EVENT_MS, MAX_OFFSET)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EventIn(_Body):
    """An action of a user, or an impression."""

    event_id: Annotated[str, chars(MAX_ID_CHARS)] = Field(
        "",
        description="Unique id. An event with an id among the user's last 100 counts once. Generated if empty or omitted.",
    )
    user_id: Id
    scenario: Id
    action: Id
    item_id: Id | None = Field(
        None,
        description="Required by most actions. An impression without it covers all recommendations of the request.",
    )
    value: float | None = Field(None, description="A rating, seconds played, a price.")
    query: Text | None = None
    request_id: Id | None = Field(None, description="Id of the request whose recommendations the user was looking at.")
    position: Annotated[int, number(0, MAX_POSITION)] | None = None
    occurred_at: Milliseconds | None = Field(None, description="Milliseconds since the epoch. Defaults to now.")
    attributes: Attributes = {}

    def record(self, now_ms: int) -> UserEvent:
        """The `user_event` record, with defaults filled in."""
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
    """A stored event."""

    event_id: str
    offset: int = Field(
        description="Pass the last one as `after_offset`, and the recommendations take the event into account."
    )


class Accepted(BaseModel):
    """All events of the POST, in the same order."""

    accepted: list[AcceptedEvent]


class ItemIn(_Body):
    """An item that can be recommended. PUT replaces it as a whole; PATCH changes the fields that it names."""

    scenarios: Annotated[list[Id], max_entries(MAX_SCENARIOS)] = Field(
        default=[], description="Scenarios in which it may be recommended; empty means all."
    )
    title: Text = ""
    text: Annotated[str, chars(MAX_DESCRIPTION_CHARS)] | None = None
    categories: Annotated[list[Id], max_entries(MAX_CATEGORIES)] = []
    attributes: Attributes = {}
    available: bool = Field(True, description="False removes it from all recommendations at once.")
    published_at: Annotated[int, number(MIN_PUBLISHED_MS, MAX_PUBLISHED_MS)] | None = Field(
        None, description="Time from which it is recommended, milliseconds since the epoch. At once if omitted."
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


def _undeclare_defaults(schema: dict[str, Any]) -> None:
    for declared in schema["properties"].values():
        declared.pop("default", None)


class ItemPatch(_Body):
    """The fields of an item to change (JSON Merge Patch, RFC 7396): the others keep their values. null restores the default of a field.

    Lists are replaced as a whole. Of `attributes`, the named ones are changed, and those with the value null are removed.
    """

    model_config = ConfigDict(json_schema_extra=_undeclare_defaults)

    scenarios: Annotated[list[Id], max_entries(MAX_SCENARIOS)] | None = None
    title: Text | None = None
    text: Annotated[str, chars(MAX_DESCRIPTION_CHARS)] | None = None
    categories: Annotated[list[Id], max_entries(MAX_CATEGORIES)] | None = None
    attributes: Annotated[dict[Id, Text | None], max_entries(MAX_ATTRIBUTES, "maxProperties")] | None = None
    available: bool | None = None
    published_at: Annotated[int, number(MIN_PUBLISHED_MS, MAX_PUBLISHED_MS)] | None = None

    def apply_to(self, item: Item) -> Item:
        """`item` with the changes."""
        changes = {name: getattr(self, name) for name in self.model_fields_set}
        defaults = ItemIn.model_validate({}).record(item["item_id"])
        changed: Any = {**item, **{name: defaults[name] if new is None else new for name, new in changes.items()}}  # type: ignore[literal-required]
        if self.attributes is not None:
            attributes = {**item["attributes"], **self.attributes}
            changed["attributes"] = {name: value for name, value in attributes.items() if value is not None}
        stored: Item = changed
        return stored


_ITEM_FIELDS: dict[str, Any] = {name: (kind, ...) for name, kind in get_type_hints(Item).items()}
# An item as it is stored: the record.
ItemOut = create_model("ItemOut", __doc__="An item as it is stored.", **_ITEM_FIELDS)


class StoredItem(BaseModel):
    """A stored item."""

    item_id: str


class ErasedUser(BaseModel):
    """A user whose erasure has begun."""

    user_id: str


class InteractionOut(BaseModel):
    """An interaction of a user's history."""

    item_id: str
    action: str
    scenario: str
    value: float = Field(description="Normalised to 0..1.")
    occurred_at: int


class UserOut(BaseModel):
    """Everything that the record of a user says."""

    user_id: str
    as_of: int = Field(description="Time of the newest event, milliseconds since the epoch.")
    interactions: list[InteractionOut] = Field(description="The last interactions, oldest first.")
    counts: dict[str, int] = Field(description="Number of events, by `scenario/action`.")
    packed: dict[str, str] = Field(
        description="Digests of items, events and requests in Base64: the packed fields of the `user_features` record, described there."
    )

    @classmethod
    def of(cls, record: UserFeatures, user_id: str) -> "UserOut":
        """From a `user_features` record, with the caller's id of the user."""
        history = record["history"]
        columns = (history[name] for name in ("item_ids", "actions", "scenarios", "values", "occurred_at"))
        names = ("item_id", "action", "scenario", "value", "occurred_at")
        return cls(
            user_id=user_id,
            as_of=record["as_of"],
            interactions=[
                InteractionOut.model_validate(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)
            ],
            counts=record["counts"],
            packed={
                name: b64encode(value).decode()
                for name, value in record.items()
                if isinstance(value, bytes) and value and name != "log_id"  # the place in a log says nothing of a user
            },
        )


class RecommendedItemOut(BaseModel):
    """One of the recommended items."""

    item_id: str
    position: int
    score: float
    predictions: dict[str, float] = Field(description="Probability of each action; empty before the first release.")
    propensity: float
    source: str
    reason: str


class RecommendationsOut(BaseModel):
    """Recommendations. Send impressions and clicks with their `request_id`: the model is trained on both."""

    request_id: str
    user_id: str
    scenario: str
    model_version: int
    policy: str
    applied_offset: int = Field(description="Offset of the user's last event that is taken into account; -1 if none.")
    served_at: int
    items: list[RecommendedItemOut]

    @classmethod
    def of(cls, record: Recommendations) -> "RecommendationsOut":
        """From a `recommendations` record."""
        return cls.model_validate({**record, "items": _items(record)})


def _items(record: Recommendations) -> list[dict[str, Any]]:
    names = record["prediction_names"] or LEGACY_ACTIONS
    return [{**item, "predictions": dict(zip(names, item["predictions"], strict=False))} for item in record["items"]]
