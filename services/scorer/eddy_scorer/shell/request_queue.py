"""Holds requests between their arrival and their batch."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from eddy_scorer.core.ranking.request import Request

# Reading pauses while more requests are ready to be ranked, or wait for their partition.
MAX_READY = 5000
# Requests that wait for features; beyond that, those that would wait longest are answered without them.
MAX_WAITING = 5000
# Pushes that wait; beyond that, the oldest ones are dropped.
MAX_PUSHES = 5000
# A request that is answered at its deadline, without the features that it waited for, may be that late.
LATE_ANSWER_MS = 1000
_RELEASED_SHARE = 0.1
_STALE_DEADLINES = 1000


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request with its partition and offset (-1 for a push) and its arrival time (append time, milliseconds).

    It waits for features until `answer_by`. After `useless_after` nobody waits for its answer any more; None is never.
    """

    request: Request
    partition: int = -1
    offset: int = -1
    arrived_at: int = 0
    after_offset: int | None = None
    answer_by: int = 0
    useless_after: int | None = None


class RequestQueue:
    """Holds requests until their user's features include `after_offset`, or until `answer_by` (the broker's clock, milliseconds).

    Requests of partitions whose users are still loading wait for that, whatever their deadline, because their answer would be wrong. All
    other requests pass at once, in order. Requests that wait for features hold up no others, however many they are.
    """

    def __init__(self, applied_offset: Callable[[str], int]) -> None:
        self._applied_offset = applied_offset
        self._ready: deque[QueuedRequest] = deque()
        self._pushes: dict[str, QueuedRequest] = {}
        # The waiting requests by user, then by partition and offset.
        self._by_user: dict[str, dict[tuple[int, int], QueuedRequest]] = {}
        self._waiting = 0
        self._deadlines: list[tuple[int, int, int, QueuedRequest]] = []
        self._unloaded: dict[int, list[QueuedRequest]] = {}
        self._loaded: set[int] = set()
        self.has_room = asyncio.Event()
        self.has_room.set()

    def __len__(self) -> int:
        """Number of requests that wait, for any reason."""
        return self._waiting + self._occupied

    @property
    def ready(self) -> bool:
        """Whether any request can be answered."""
        return bool(self._ready or self._pushes)

    @property
    def _occupied(self) -> int:
        """Requests that count for MAX_READY."""
        return len(self._ready) + sum(len(requests) for requests in self._unloaded.values())

    def next_deadline(self) -> int | None:
        """The earliest deadline of the waiting requests."""
        return self._deadlines[0][0] if self._deadlines else None

    def add(self, queued: QueuedRequest) -> None:
        """Add a request."""
        if queued.partition not in self._loaded:
            self._unloaded.setdefault(queued.partition, []).append(queued)
        elif self._must_wait(queued):
            self._by_user.setdefault(queued.request.user_id, {})[queued.partition, queued.offset] = queued
            self._waiting += 1
            heapq.heappush(self._deadlines, (queued.answer_by, queued.partition, queued.offset, queued))
            self._forget_released()
            if self._waiting > MAX_WAITING:
                self._release_longest()
        else:
            self._ready.append(queued)
        if self._occupied > MAX_READY:
            self.has_room.clear()

    def push(self, queued: QueuedRequest) -> None:
        """Add a push. Only the newest push of a user is kept."""
        self._pushes[queued.request.user_id] = queued
        if len(self._pushes) > MAX_PUSHES:
            del self._pushes[next(iter(self._pushes))]

    def user_erased(self, user_id: str) -> None:
        """Drop the push to a user who was erased."""
        self._pushes.pop(user_id, None)

    def features_changed(self, user_id: str) -> None:
        """Release requests that waited for this user's features, if the features include their offset now."""
        waiting = self._by_user.pop(user_id, None)
        if waiting:
            remaining = {place: queued for place, queued in waiting.items() if self._must_wait(queued)}
            self._ready.extend(queued for place, queued in waiting.items() if place not in remaining)
            self._waiting -= len(waiting) - len(remaining)
            if remaining:
                self._by_user[user_id] = remaining

    def expire(self, now: int) -> int:
        """Release requests whose deadline has passed. Returns their number."""
        expired = 0
        while self._deadlines and self._deadlines[0][0] <= now:
            queued = heapq.heappop(self._deadlines)[3]
            if self._release(queued):
                expired += 1
        return expired

    def drop_useless(self, now: int, keep_newest: bool = False) -> list[QueuedRequest]:
        """Remove and return the ready requests that nobody waits for any more; with `keep_newest`, all but the last one that is ready."""
        candidates = list(self._ready)[:-1] if keep_newest else self._ready
        useless = [queued for queued in candidates if queued.useless_after is not None and queued.useless_after < now]
        if useless:
            dropped = set(map(id, useless))
            self._ready = deque(queued for queued in self._ready if id(queued) not in dropped)
            self._make_room()
        return useless

    def take(self, limit: int) -> list[QueuedRequest]:
        """Remove and return up to `limit` requests, pushes last."""
        taken = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
        pushed = list(self._pushes)[: limit - len(taken)]
        self._make_room()
        return taken + [self._pushes.pop(user_id) for user_id in pushed]

    def partition_loaded(self, partition: int) -> None:
        """Release the requests of a partition whose users are loaded now."""
        self._loaded.add(partition)
        for queued in self._unloaded.pop(partition, []):
            self.add(queued)

    def drop_partitions(self, partitions: set[int]) -> None:
        """Drop the requests of revoked partitions, which other instances answer."""

        def is_kept(queued: QueuedRequest) -> bool:
            return queued.partition not in partitions

        self._loaded -= partitions
        self._ready = deque(filter(is_kept, self._ready))
        self._deadlines = [entry for entry in self._deadlines if is_kept(entry[3])]
        heapq.heapify(self._deadlines)
        kept = {
            user: {place: queued for place, queued in requests.items() if is_kept(queued)}
            for user, requests in self._by_user.items()
        }
        self._by_user = {user: requests for user, requests in kept.items() if requests}
        self._waiting = sum(map(len, self._by_user.values()))
        self._unloaded = {number: requests for number, requests in self._unloaded.items() if number not in partitions}

        self._make_room()

    def _make_room(self) -> None:
        if not self.has_room.is_set() and self._occupied <= MAX_READY:
            self.has_room.set()

    def _release(self, queued: QueuedRequest) -> bool:
        """Make a waiting request ready without its features; whether it still waited."""
        waiting = self._by_user.get(queued.request.user_id, {})
        if waiting.pop((queued.partition, queued.offset), None) is None:
            return False
        self._waiting -= 1
        if not waiting:
            del self._by_user[queued.request.user_id]
        if queued.useless_after is not None:
            queued = replace(queued, useless_after=queued.useless_after + LATE_ANSWER_MS)
        self._ready.append(queued)
        return True

    def _forget_released(self) -> None:
        """Forget the deadlines of requests that were released before, once most are of that kind."""
        if len(self._deadlines) > 2 * self._waiting + _STALE_DEADLINES:
            self._deadlines = [
                entry
                for entry in self._deadlines
                if (entry[1], entry[2]) in self._by_user.get(entry[3].request.user_id, ())
            ]
            heapq.heapify(self._deadlines)

    def _release_longest(self) -> None:
        """Release some of the waiting requests, those with the latest deadlines, so that a few long ones do not crowd out the short."""
        self._deadlines.sort()  # a sorted list is a heap, too
        released = 0
        while self._deadlines and released < MAX_WAITING * _RELEASED_SHARE:
            released += self._release(self._deadlines.pop()[3])

    def _must_wait(self, queued: QueuedRequest) -> bool:
        return queued.after_offset is not None and self._applied_offset(queued.request.user_id) < queued.after_offset
