"""Plays many users at once: request, slate, impression, interaction. A state machine without Kafka or clock."""

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
class Observations:
    """Measurements of a replay. Times are seconds of the monotonic clock unless the name ends in `_ms`."""

    positions: list[int]
    latencies_ms: list[float] = field(default_factory=list)
    event_to_recommendations_ms: list[float] = field(default_factory=list)
    clicks: dict[str, float] = field(default_factory=dict)
    served: ServedVersions = field(default_factory=ServedVersions)
    requests: int = 0
    slates: int = 0
    impressions: int = 0
    timeouts: int = 0
    refused: int = 0
    stale_slates: int = 0  # answered at the deadline, without the user's last event
    unanswered: tuple[float, float] | None = None  # send times of the first and last request since the last answer
    played: deque[int] = field(default_factory=deque)  # events that were played, for the evaluator to take


class Player:
    """Plays every event of a stream as request, slate, impression and interaction.

    `put(topic, partition, key, value, on_offset=None, token=0)` publishes a record; `now` is a monotonic clock in seconds.
    `horizon_ms` gives the event time up to which the stream may be played, `may_act` whether another request or
    interaction may be published now.
    """

    def __init__(
        self,
        stream: Stream,
        schedule: Schedule,
        records: ReplayRecords,
        put: Put,
        partitions: Sequence[int],
        now: Callable[[], float],
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
        self._timeout_sec = timeout_sec
        self._horizon_ms = horizon_ms
        self._may_act = may_act
        self._due: deque[tuple[int, Sequence[str] | None]] = (
            deque()
        )  # events with their slate, or None before the request
        self._codec = Codec.of(Recommendations)
        self._prefix = PrefixDecoder(Recommendations, last="items")
        self._pending: dict[int, float] = {}  # event -> time of its request, oldest first
        self._last_offset: dict[int, int] = {}  # user -> offset of their last event
        # Time of each user's last interaction, for users whose next request follows immediately.
        self._interacted_at: dict[int, float] = {}
        self.observations = Observations(positions=[NOT_SERVED] * len(stream))
        self.other_requests: set[str] = set()  # requests of other clients that were answered during the replay

    @property
    def waiting(self) -> int:
        """Number of requests without an answer."""
        return len(self._pending)

    def turn(self) -> None:
        """Start admitted events, and continue without slates that are overdue. Call it often."""
        for index in self._schedule.admit(self._horizon_ms()):
            self._interacted_at.pop(self._stream.users[index], None)
            self._due.append((index, None))
        self._drop_late_requests(self._now() - self._timeout_sec)
        self._continue_users()

    def take(self, payload: bytes) -> None:
        """Process a record of `recommendations`; slates of other clients and overdue ones are ignored. Raises DecodeError."""
        answer = self._prefix.decode(payload)
        index = self._records.index_of(answer["request_id"])
        if index is None:
            self.other_requests.add(answer["request_id"])
        requested_at = None if index is None else self._pending.pop(index, None)
        if index is None or requested_at is None:
            return
        if not answer["items"] and self._codec.decode(payload)["refusal"]:
            self.observations.refused += 1
        else:
            self._observe(index, requested_at, answer["applied_offset"], answer["model_version"])
        self._due.append((index, [item["item_id"] for item in answer["items"]]))
        self._continue_users()

    def _request_slate(self, index: int) -> None:
        user = self._stream.users[index]
        _, payload = self._records.request(
            index,
            self._stream.user_ids[user],
            self._stream.times_ms[index],
            self._last_offset.get(user),
        )
        self._pending[index] = self._now()
        self.observations.requests += 1
        self._put(RECOMMENDATION_REQUESTS, self._partitions[user], self._keys[user], payload)

    def _observe(self, index: int, requested_at: float, applied_offset: int, version: int) -> None:
        user, now, observations = self._stream.users[index], self._now(), self.observations
        observations.slates += 1
        observations.unanswered = None
        observations.latencies_ms.append((now - requested_at) * 1000)
        observations.served.note(version, now)
        interacted_at = self._interacted_at.pop(user, None)
        if applied_offset < self._last_offset.get(user, -1):
            observations.stale_slates += 1
        elif interacted_at is not None:
            observations.event_to_recommendations_ms.append((now - interacted_at) * 1000)

    def _continue_users(self) -> None:
        while self._due and self._may_act():
            index, item_ids = self._due.popleft()
            if item_ids is None:
                self._request_slate(index)
            else:
                self._interact(index, item_ids)

    def _interact(self, index: int, item_ids: Sequence[str]) -> None:
        """Publish the impression, unless the slate is empty, followed by the user's interaction in the same partition."""
        user, at_ms = self._stream.users[index], self._stream.times_ms[index]
        self._interacted_at[user] = self._now()
        if item_ids:
            self.observations.impressions += len(item_ids)
            _, impression = self._records.impression(index, self._stream.user_ids[user], at_ms)
            self._put(USER_EVENTS, self._partitions[user], self._keys[user], impression)
        action = self._action(index, user, at_ms, item_ids)
        self._put(USER_EVENTS, self._partitions[user], self._keys[user], action, self._on_published, index)

    def _action(self, index: int, user: int, at_ms: int, item_ids: Sequence[str]) -> bytes:
        """A click if the historical item was in the slate, otherwise an unattributed interaction."""
        item_id, value = self._stream.item_ids[self._stream.items[index]], self._stream.values[index]
        user_id = self._stream.user_ids[user]
        (event_id, action), position = self._records.action(index, user_id, item_id, value, at_ms, item_ids)
        if position is not None:
            self.observations.positions[index] = position
            self.observations.clicks[event_id] = self._interacted_at[user]
        return action

    def _on_published(self, index: int, offset: int) -> None:
        user = self._stream.users[index]
        self._last_offset[user] = offset
        self.observations.played.append(index)
        following = self._schedule.finish(index)
        if following is not None:
            self._request_slate(following)
        self.turn()

    def _drop_late_requests(self, requested_before: float) -> None:
        late = []
        for index, requested_at in self._pending.items():
            if requested_at > requested_before:
                break
            late.append(index)
        for index in late:
            requested_at = self._pending.pop(index)
            first, _ = self.observations.unanswered or (requested_at, requested_at)
            self.observations.unanswered = first, requested_at
            self.observations.timeouts += 1
            self._due.append((index, ()))
