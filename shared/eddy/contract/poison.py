"""A limit of unusable records in a row, past which passing over them does more harm than stopping.

One bad record in a thousand is the publisher's affair. Thousands in a row are a wrong schema, a wrong topic or a wrong setting of ours:
passing over them would commit past data that can be read once that is mended. (The habit is arroyo's DlqLimit, getsentry/arroyo,
`arroyo/dlq.py`.)
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from eddy.contract.message import Message
from eddy.errors import FatalError


@dataclass(slots=True)
class _Run:
    """Unusable records of one partition, one after the other."""

    first: int
    last: int
    reasons: Counter[str] = field(default_factory=Counter)


Place = tuple[str, int, int]


def position_of(message: Message) -> Place:
    """Topic, partition and offset."""
    return message.topic, message.partition, message.offset


class PoisonRuns:
    """Counts the unusable records in a row of each partition that a process reads. `limit` 0 is no limit.

    A record that is read again, after a restart of a worker, say, counts once.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._runs: dict[tuple[str, int], _Run] = {}
        self._reached: FatalError | None = None

    def note_usable(self, message: Message) -> None:
        """Note a usable record: its partition's run is over."""
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
            self._reached = FatalError(_complaint(message, run, self._limit))

    def note_batch(self, messages: Iterable[Message], poison: Mapping[Place, str]) -> None:
        """Note messages, in order within each partition: the reasons of the unusable ones, all others usable."""
        if not poison and not self._runs:
            return
        for message in messages:
            reason = poison.get(position_of(message))
            if reason is None:
                self.note_usable(message)
            else:
                self.note_unusable(message, reason)

    def check(self) -> None:
        """Raise FatalError where a run reached the limit. Call it once what was noted is written and acknowledged."""
        if self._reached is not None:
            raise self._reached


def _complaint(message: Message, run: _Run, limit: int) -> str:
    reason, _ = run.reasons.most_common(1)[0]
    return (
        f"{limit} records in a row of topic {message.topic}, partition {message.partition}, offsets {run.first} to {run.last}, "
        f"cannot be used, most of them because of {reason}: see dead-letters for each, mend their publisher or these settings, "
        "then start again; set EDDY_POISON_LIMIT=0 to pass over them"
    )
