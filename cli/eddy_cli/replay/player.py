"""One user's turn, for many users at once: ask, wait for the list, look at it, act. A state machine without Kafka or clock."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from eddy.contract.codec import Codec
from eddy.contract.prefix import PrefixDecoder
from eddy.contract.records import Recommendations
from eddy.contract.topics import RECOMMENDATION_REQUESTS, USER_EVENTS
from eddy_cli.replay.freshness import ServedVersions
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.schedule import Schedule
from eddy_cli.replay.stream import Stream

Put = Callable[..., None]
NOT_SERVED = -1


@dataclass(slots=True)
class Observed:
    """What the replay saw. Times are seconds of the monotonic clock unless their name says milliseconds."""

    places: list[int]
    latencies_ms: list[float] = field(default_factory=list)
    event_to_recommendations_ms: list[float] = field(default_factory=list)
    clicks: dict[str, float] = field(default_factory=dict)
    served: ServedVersions = field(default_factory=ServedVersions)
    requests: int = 0
    lists: int = 0
    shown: int = 0
    timeouts: int = 0
    refused: int = 0
    stale_lists: int = 0  # answered at the deadline, without the user's last event
    in_vain: tuple[float, float] | None = (
        None  # when the first and the last request was sent that found no answer since then
    )
    acted: deque[int] = field(default_factory=deque)  # events that were played, for whoever takes them


class Player:
    """Drives every event of a stream through request, list, impression and action.

    `put(topic, partition, key, value, on_offset=None, token=0)` publishes; `now` is a monotonic clock in seconds, `wall_ms` the wall
    clock that deadlines are stated in. `horizon_ms` says up to which event time the stream may be played already, `may_act` whether one
    more may begin, or act on the list before them.
    """

    def __init__(
        self,
        stream: Stream,
        schedule: Schedule,
        records: ReplayRecords,
        put: Put,
        partitions: Sequence[int],
        now: Callable[[], float],
        wall_ms: Callable[[], int],
        timeout_sec: float,
        horizon_ms: Callable[[], float] = lambda: float("inf"),
        may_act: Callable[[], bool] = lambda: True,
    ) -> None:
        self._stream = stream
        self._schedule = schedule
        self._records = records
        self._put = put
        self._partitions = partitions
        self._keys = [user_id.encode() for user_id in stream.user_ids]
        self._now = now
        self._wall_ms = wall_ms
        self._timeout_sec = timeout_sec
        self._horizon_ms = horizon_ms
        self._may_act = may_act
        self._due: deque[tuple[int, Sequence[str] | None]] = deque()  # events with their list, or None: to be asked for
        self._codec = Codec.of(Recommendations)
        self._prefix = PrefixDecoder(Recommendations, last="items")
        self._pending: dict[int, float] = {}  # event -> when its list was asked for, oldest first
        self._last_offset: dict[int, int] = {}  # user -> offset of their last event
        # When each user last acted, for those whose next list is asked for right behind it.
        self._acted_at: dict[int, float] = {}
        self.observed = Observed(places=[NOT_SERVED] * len(stream))
        self.others: set[str] = set()  # requests of others that were answered meanwhile

    @property
    def waiting(self) -> int:
        """Requests without an answer so far."""
        return len(self._pending)

    def turn(self) -> None:
        """Start what may start, and go on without the lists that did not come in time. Call it often."""
        for index in self._schedule.admit(self._horizon_ms()):
            self._acted_at.pop(self._stream.users[index], None)
            self._due.append((index, None))
        self._give_up(self._now() - self._timeout_sec)
        self._go_on()

    def take(self, payload: bytes) -> None:
        """Take a record of `recommendations`; lists of others and late ones change nothing. Raises DecodeError."""
        answer = self._prefix.decode(payload)
        index = self._records.index_of(answer["request_id"])
        if index is None:
            self.others.add(answer["request_id"])
        asked_at = None if index is None else self._pending.pop(index, None)
        if index is None or asked_at is None:
            return
        if not answer["items"] and self._codec.decode(payload)["refusal"]:
            self.observed.refused += 1
        else:
            self._observe(index, asked_at, answer["applied_offset"], answer["model_version"])
        self._due.append((index, [item["item_id"] for item in answer["items"]]))
        self._go_on()

    def _ask(self, index: int) -> None:
        user = self._stream.users[index]
        _, payload = self._records.request(
            index,
            self._stream.user_ids[user],
            self._stream.times_ms[index],
            self._last_offset.get(user),
            self._wall_ms(),
        )
        self._pending[index] = self._now()
        self.observed.requests += 1
        self._put(RECOMMENDATION_REQUESTS, self._partitions[user], self._keys[user], payload)

    def _observe(self, index: int, asked_at: float, applied_offset: int, version: int) -> None:
        user, now, observed = self._stream.users[index], self._now(), self.observed
        observed.lists += 1
        observed.in_vain = None
        observed.latencies_ms.append((now - asked_at) * 1000)
        observed.served.note(version, now)
        acted_at = self._acted_at.pop(user, None)
        if applied_offset < self._last_offset.get(user, -1):
            observed.stale_lists += 1
        elif acted_at is not None:
            observed.event_to_recommendations_ms.append((now - acted_at) * 1000)

    def _go_on(self) -> None:
        while self._due and self._may_act():
            index, shown = self._due.popleft()
            if shown is None:
                self._ask(index)
            else:
                self._act(index, shown)

    def _act(self, index: int, shown: Sequence[str]) -> None:
        """Publish the impression, where there is something to see, and the user's action right behind it in the same partition."""
        user, at_ms = self._stream.users[index], self._stream.times_ms[index]
        self._acted_at[user] = self._now()
        if shown:
            self.observed.shown += len(shown)
            _, impression = self._records.impression(index, self._stream.user_ids[user], at_ms)
            self._put(USER_EVENTS, self._partitions[user], self._keys[user], impression)
        action = self._action(index, user, at_ms, shown)
        self._put(USER_EVENTS, self._partitions[user], self._keys[user], action, self._acted, index)

    def _action(self, index: int, user: int, at_ms: int, shown: Sequence[str]) -> bytes:
        """A click where the historical item was in the list, else the organic event."""
        item_id, value = self._stream.item_ids[self._stream.items[index]], self._stream.values[index]
        user_id = self._stream.user_ids[user]
        (event_id, action), place = self._records.action(index, user_id, item_id, value, at_ms, shown)
        if place is not None:
            self.observed.places[index] = place
            self.observed.clicks[event_id] = self._acted_at[user]
        return action

    def _acted(self, index: int, offset: int) -> None:
        user = self._stream.users[index]
        self._last_offset[user] = offset
        self.observed.acted.append(index)
        following = self._schedule.finish(index)
        if following is not None:
            self._ask(following)
        self.turn()

    def _give_up(self, asked_before: float) -> None:
        late = []
        for index, asked_at in self._pending.items():
            if asked_at > asked_before:
                break
            late.append(index)
        for index in late:
            asked_at = self._pending.pop(index)
            first, _ = self.observed.in_vain or (asked_at, asked_at)
            self.observed.in_vain = first, asked_at
            self.observed.timeouts += 1
            self._due.append((index, ()))
