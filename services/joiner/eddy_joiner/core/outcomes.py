"""Decisions of the join, as values. All but `ImpressionOutcome` become records in Kafka, `Erased` a tombstone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from eddy.contract.message import Message
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.slates import ServedSlate, SlateItem


class Impression(NamedTuple):
    """An item of a slate that was shown at `shown_at`, by the device; `until` is the end of its attribution window on the timeline of
    the slate (ms)."""

    item: SlateItem
    shown_at: int
    until: int


@dataclass(frozen=True, slots=True)
class ImpressionOutcome:
    """Items of a slate shown for the first time, `after_ms` after the slate was served. For the impression ledger only."""

    scenario: str
    items: list[SlateItem]
    after_ms: int


@dataclass(frozen=True, slots=True)
class Positive:
    """The label of an impression that led to an interaction."""

    slate: ServedSlate
    impression: Impression
    event: JoinerEvent


@dataclass(frozen=True, slots=True)
class Negative:
    """The labels of the impressions of a slate whose windows closed together without an interaction; never empty."""

    slate: ServedSlate
    impressions: list[Impression]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A stronger action on an item that is labelled positive."""

    slate: ServedSlate
    impression: Impression
    event: JoinerEvent


@dataclass(frozen=True, slots=True)
class NextItemOutcome:
    """A positive event as the next item of its user's sequence.

    `slate` is the slate that the event is attributed to. For an unattributed interaction (`impression` is None) it is the newest slate
    that had the item among its candidates, if any. `history_slate` is the slate whose history is that before the event, if any.
    `superseded` says that by the time of the event the user had received a newer slate of the scenario, made for a longer history.
    """

    event: JoinerEvent
    slate: ServedSlate | None
    impression: Impression | None
    history_slate: ServedSlate | None
    superseded: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """A message for the dead letters; `reason` is one of eddy.contract.reasons."""

    message: Message
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Erased:
    """A user was erased: readers of the examples forget those before this. `open_impressions` lost their label, by scenario."""

    user_id: str
    open_impressions: Mapping[str, int]


Example = Positive | Negative | Upgrade | NextItemOutcome
Outcome = Example | ImpressionOutcome | Refused | Erased
