"""What the join decides, as values. Each but `Shown` becomes a record in Kafka."""

from dataclasses import dataclass
from typing import NamedTuple

from eddy.contract.message import Message
from eddy_joiner.core.events import Event
from eddy_joiner.core.lists import ListedItem, ServedList


class Place(NamedTuple):
    """A shown item: its place in the list, when it was shown and until when an action counts (event time, ms)."""

    listed: ListedItem
    shown_at: int
    until: int


@dataclass(frozen=True, slots=True)
class Shown:
    """Items of a list that became visible, `after_ms` milliseconds after the list was published. For the books alone."""

    scenario: str
    items: list[ListedItem]
    after_ms: int


@dataclass(frozen=True, slots=True)
class Positive:
    """The one label of an item that was acted on."""

    served: ServedList
    place: Place
    event: Event


@dataclass(frozen=True, slots=True)
class Negative:
    """The one label of each item of a list whose window closed without an action; never empty."""

    served: ServedList
    places: list[Place]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A stronger action on an item that is labelled positive."""

    served: ServedList
    place: Place
    event: Event


@dataclass(frozen=True, slots=True)
class NextItem:
    """A positive event as the next item of its user's sequence.

    `served` is the list it belongs to; for an organic event (`place` is None) the newest that considered the item, if any.
    `history_of` is the list whose history snapshot stands for the time before the event, if any. `superseded` says that the user had gone
    on when they acted: they had a newer list of the scenario than `served`, made for a longer history.
    """

    event: Event
    served: ServedList | None
    place: Place | None
    history_of: ServedList | None
    superseded: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """An input that could not be used; `reason` is one of eddy.contract.reasons."""

    message: Message
    reason: str
    detail: str


Example = Positive | Negative | Upgrade | NextItem
Outcome = Example | Shown | Refused
