"""What the join decides, as values. Each but `Shown` becomes a record in Kafka."""

from dataclasses import dataclass
from typing import NamedTuple

from eddy.contract.message import Message
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.slates import ServedSlate, SlateItem


class Impression(NamedTuple):
    """A shown item: its place in the list, when it was shown and until when an action counts (event time, ms)."""

    listed: SlateItem
    shown_at: int
    until: int


@dataclass(frozen=True, slots=True)
class ImpressionOutcome:
    """Items of a list that became visible, `after_ms` milliseconds after the list was published. For the books alone."""

    scenario: str
    items: list[SlateItem]
    after_ms: int


@dataclass(frozen=True, slots=True)
class Positive:
    """The one label of an item that was acted on."""

    served: ServedSlate
    place: Impression
    event: JoinerEvent


@dataclass(frozen=True, slots=True)
class Negative:
    """The one label of each item of a list whose window closed without an action; never empty."""

    served: ServedSlate
    impressions: list[Impression]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A stronger action on an item that is labelled positive."""

    served: ServedSlate
    place: Impression
    event: JoinerEvent


@dataclass(frozen=True, slots=True)
class NextItemOutcome:
    """A positive event as the next item of its user's sequence.

    `served` is the list it belongs to; for an organic event (`place` is None) the newest that considered the item, if any.
    `history_of` is the list whose history snapshot stands for the time before the event, if any. `superseded` says that the user had gone
    on when they acted: they had a newer list of the scenario than `served`, made for a longer history.
    """

    event: JoinerEvent
    served: ServedSlate | None
    place: Impression | None
    history_of: ServedSlate | None
    superseded: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """An input that could not be used; `reason` is one of eddy.contract.reasons."""

    message: Message
    reason: str
    detail: str


Example = Positive | Negative | Upgrade | NextItemOutcome
Outcome = Example | ImpressionOutcome | Refused
