"""What goes over HTTP: the same names and meanings as the records in schemas/."""

import uuid
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from eddy.contract.codec import Record
from eddy.contract.model import ACTIONS

MAX_ID_CHARS = 256
MAX_TEXT_CHARS = 1024
MAX_ATTRIBUTES = 64
MAX_LIST = 500
MAX_BATCH = 10_000
MAX_MS = 2**63 - 1

Id = Annotated[str, Field(min_length=1, max_length=MAX_ID_CHARS)]
Text = Annotated[str, Field(max_length=MAX_TEXT_CHARS)]
Attributes = Annotated[dict[Id, Text], Field(max_length=MAX_ATTRIBUTES)]
Milliseconds = Annotated[int, Field(ge=0, le=MAX_MS)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class EventIn(_Body):
    """Something a user did, or an impression."""

    event_id: Id = Field(
        default_factory=lambda: uuid.uuid4().hex,
        description="Unique; send it again after a failure and it counts once.",
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
    position: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    occurred_at: Milliseconds | None = Field(None, description="Milliseconds since the epoch; now when left out.")
    attributes: Attributes = {}

    def record(self, now_ms: int) -> Record:
        """The `user_event` record."""
        return {**self.model_dump(), "occurred_at": now_ms if self.occurred_at is None else self.occurred_at}


class AcceptedEvent(BaseModel):
    """An event that Kafka has stored."""

    event_id: str
    offset: int = Field(description="Hand the last one back as `after_offset`, and the list knows the event.")


class Accepted(BaseModel):
    """All events of the POST, in its order."""

    accepted: list[AcceptedEvent]


class ItemIn(_Body):
    """A thing that can be recommended; PUT again to change it."""

    scenarios: list[Id] = Field(default=[], description="Scenarios it may be recommended in; empty means all.")
    title: Text = ""
    text: Annotated[str, Field(max_length=65_536)] | None = None
    categories: Annotated[list[Id], Field(max_length=MAX_ATTRIBUTES)] = []
    attributes: Attributes = {}
    available: bool = Field(True, description="False takes it out of every list at once.")
    published_at: Milliseconds | None = Field(None, description="Milliseconds since the epoch.")

    def record(self, item_id: str) -> Record:
        """The `item` record."""
        return {"item_id": item_id, **self.model_dump()}


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
    def of(cls, record: Record) -> "RecommendationsOut":
        """From a `recommendations` record."""
        return cls.model_validate({**record, "items": [_item(item) for item in record["items"]]})


def _item(item: Record) -> dict[str, Any]:
    return {**item, "predictions": dict(zip(ACTIONS, item["predictions"], strict=False))}
