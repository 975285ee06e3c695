"""Events whose list or impression is not there yet."""

from collections.abc import Iterable
from dataclasses import dataclass

from eddy_joiner.core.checkpoints import Checkpoint
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.held import HeldList


@dataclass(slots=True, eq=False)
class Waiting:
    """An event that waits. `clock` is the event time when it came, `due` the one at which it is given up.

    `considered` is the list whose candidates go with it should it turn out organic.
    """

    event: JoinerEvent
    clock: int
    due: int
    checkpoint: Checkpoint
    considered: HeldList | None = None
    settled: bool = True


class WaitingRoom:
    """Who waits for what: impressions for their list, actions for their impression or for the impressions of their user."""

    def __init__(self) -> None:
        self._impressions: dict[str, list[Waiting]] = {}  # by request
        self._actions: dict[str, list[Waiting]] = {}  # by request
        self._unattributed: dict[str, list[Waiting]] = {}  # by user
        self._unlisted: dict[str, list[Waiting]] = {}  # impressions by user

    def add_impression(self, waiting: Waiting) -> None:
        """An impression whose list is unknown."""
        _put(self._impressions, waiting.event.request_id or "", waiting)
        _put(self._unlisted, waiting.event.user_id, waiting)

    def add_action(self, waiting: Waiting) -> None:
        """An action on a list that is unknown or was not shown."""
        _put(self._actions, waiting.event.request_id or "", waiting)

    def add_unattributed(self, waiting: Waiting) -> None:
        """An action that may belong to a list whose impression itself still waits."""
        _put(self._unattributed, waiting.event.user_id, waiting)

    def may_yet_be_shown(self, event: JoinerEvent) -> bool:
        """Whether an impression of the event's user and scenario from before it still waits for its list."""
        return any(
            each.event.scenario == event.scenario and each.event.offset < event.offset
            for each in self._unlisted.get(event.user_id, ())
        )

    def impressions_of(self, request_id: str, user_id: str, admit_until: int) -> list[Waiting]:
        """The impressions that waited for this list and came early enough for it; they leave."""
        found = [
            each
            for each in self._impressions.get(request_id, ())
            if each.event.user_id == user_id and each.clock <= admit_until
        ]
        for waiting in found:
            self.leave(waiting)
        return found

    def actions_of(self, request_id: str | None, user_id: str) -> list[Waiting]:
        """The user's actions that waited for this list, and those without a list; in the order of the log. They leave."""
        named = self._actions.get(request_id, ()) if request_id is not None else ()
        found = [each for each in named if each.event.user_id == user_id]
        return self._leave_all([*found, *self._unattributed.get(user_id, ())])

    def actions_on(self, request_id: str, user_id: str) -> list[Waiting]:
        """The user's actions that waited for this list; they leave."""
        return self._leave_all([each for each in self._actions.get(request_id, ()) if each.event.user_id == user_id])

    def leave(self, waiting: Waiting) -> None:
        """Wait no longer."""
        waiting.settled = True
        event = waiting.event
        if event.is_impression:
            _take(self._impressions, event.request_id or "", waiting)
            _take(self._unlisted, event.user_id, waiting)
        else:
            _take(self._actions, event.request_id or "", waiting)
            _take(self._unattributed, event.user_id, waiting)

    def _leave_all(self, found: Iterable[Waiting]) -> list[Waiting]:
        ordered = sorted(found, key=lambda each: each.event.offset)
        for waiting in ordered:
            self.leave(waiting)
        return ordered


def _put(index: dict[str, list[Waiting]], key: str, waiting: Waiting) -> None:
    waiting.settled = False
    index.setdefault(key, []).append(waiting)


def _take(index: dict[str, list[Waiting]], key: str, waiting: Waiting) -> None:
    queue = index.get(key)
    if queue is not None and waiting in queue:
        queue.remove(waiting)
        if not queue:
            del index[key]
