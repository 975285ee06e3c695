"""A limit of consecutive unusable records, after which a service stops instead of skipping them.

A single bad record is a defect of its publisher. Thousands in a row mean a wrong schema, topic or setting: skipping them would commit past
data that can be read after the correction. (As DlqLimit of getsentry/arroyo, `arroyo/dlq.py`.)
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from eddy.contract.message import Message
from eddy.errors import FatalError


@dataclass(slots=True)
class _Run:
    """Consecutive unusable records of a partition."""

    first: int
    last: int
    reasons: Counter[str] = field(default_factory=Counter)


Position = tuple[str, int, int]


def position_of(message: Message) -> Position:
    """Topic, partition and offset."""
    return message.topic, message.partition, message.offset


class PoisonRuns:
    """Counts consecutive unusable records of each partition. `limit` 0 is no limit.

    A record that is read again, for example after the restart of a worker, counts once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._runs: dict[tuple[str, int], _Run] = {}
        self._reached: FatalError | None = None

    def note_usable(self, message: Message) -> None:
        """Note a usable record, which ends the run of its partition."""
        if self._runs:
            self._runs.pop((message.topic, message.partition), None)

    def note_unusable(self, message: Message, reason: str) -> None:
        """Note an unusable record."""
        run = self._runs.setdefault((message.topic, message.partition), _Run(message.offset, message.offset - 1))
        if message.offset <= run.last:
            return
        run.last = message.offset
        run.reasons[reason] += 1
        if self._limit and run.reasons.total() == self._limit:
            self._reached = FatalError(_limit_message(message, run, self._limit))

    def note_batch(self, messages: Iterable[Message], poison: Mapping[Position, str]) -> None:
        """Note messages, in order within each partition: `poison` has the reasons of the unusable ones; all others are usable."""
        if not poison and not self._runs:
            return
        for message in messages:
            reason = poison.get(position_of(message))
            if reason is None:
                self.note_usable(message)
            else:
                self.note_unusable(message, reason)

    def check(self) -> None:
        """Raise FatalError if a run reached the limit. Call it after the dead letters are acknowledged."""
        if self._reached is not None:
            raise self._reached


def _limit_message(message: Message, run: _Run, limit: int) -> str:
    reason, _ = run.reasons.most_common(1)[0]
    return (
        f"{limit} consecutive unusable records: topic {message.topic}, partition {message.partition}, offsets {run.first} to "
        f"{run.last}; most frequent reason: {reason}. See dead-letters for the details, fix the publisher or the settings, and "
        "restart. EDDY_POISON_LIMIT=0 skips all unusable records."
    )
