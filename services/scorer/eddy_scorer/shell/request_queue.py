"""Holds requests between their arrival and their batch."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from eddy_scorer.core.ranking.request import Request

# Reading pauses while more requests wait.
MAX_WAITING = 5000


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request with its partition and offset (-1 for a push) and its arrival time (append time, milliseconds)."""

    request: Request
    partition: int = -1
    offset: int = -1
    arrived_at: int = 0
    after_offset: int | None = None
    answer_by: int = 0


class RequestQueue:
    """Holds requests until their user's features include `after_offset`, or until `answer_by` (wall clock, milliseconds).

    Requests of partitions whose users are still loading wait for that, whatever their deadline, because their answer would be wrong. All
    other requests pass at once, in order.
    """

    def __init__(self, applied_offset: Callable[[str], int]) -> None:
        self._applied_offset = applied_offset
        self._ready: deque[QueuedRequest] = deque()
        self._pushes: dict[str, QueuedRequest] = {}
        self._by_user: dict[str, list[QueuedRequest]] = {}
        self._deadlines: list[tuple[int, int, int, QueuedRequest]] = []
        self._unloaded: dict[int, list[QueuedRequest]] = {}
        self._loaded: set[int] = set()
        self.has_room = asyncio.Event()
        self.has_room.set()

    def __len__(self) -> int:
        """Number of requests that wait, for any reason."""
        waiting = sum(len(requests) for requests in self._by_user.values())
        return len(self._ready) + waiting + sum(len(requests) for requests in self._unloaded.values())

    @property
    def ready(self) -> bool:
        """Whether any request can be answered."""
        return bool(self._ready or self._pushes)

    def next_deadline(self) -> int | None:
        """The earliest deadline of the waiting requests."""
        return self._deadlines[0][0] if self._deadlines else None

    def add(self, queued: QueuedRequest) -> None:
        """Add a request."""
        if queued.partition not in self._loaded:
            self._unloaded.setdefault(queued.partition, []).append(queued)
        elif self._must_wait(queued):
            self._by_user.setdefault(queued.request.user_id, []).append(queued)
            heapq.heappush(self._deadlines, (queued.answer_by, queued.partition, queued.offset, queued))
        else:
            self._ready.append(queued)
        if len(self) > MAX_WAITING:
            self.has_room.clear()

    def push(self, queued: QueuedRequest) -> None:
        """Add a push. Only the newest push of a user is kept."""
        self._pushes[queued.request.user_id] = queued

    def features_changed(self, user_id: str) -> None:
        """Release requests that waited for this user's features, if the features include their offset now."""
        waiting = self._by_user.pop(user_id, None)
        if waiting:
            remaining = [queued for queued in waiting if self._must_wait(queued)]
            self._ready.extend(queued for queued in waiting if not self._must_wait(queued))
            if remaining:
                self._by_user[user_id] = remaining

    def expire(self, now: int) -> int:
        """Release requests whose deadline has passed. Returns their number."""
        expired = 0
        while self._deadlines and self._deadlines[0][0] <= now:
            queued = heapq.heappop(self._deadlines)[3]
            waiting = self._by_user.get(queued.request.user_id, [])
            if queued in waiting:
                waiting.remove(queued)
                if not waiting:
                    del self._by_user[queued.request.user_id]
                self._ready.append(queued)
                expired += 1
        return expired

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
        kept = {user: list(filter(is_kept, requests)) for user, requests in self._by_user.items()}
        self._by_user = {user: requests for user, requests in kept.items() if requests}
        self._unloaded = {number: requests for number, requests in self._unloaded.items() if number not in partitions}

        self._make_room()

    def _make_room(self) -> None:
        if not self.has_room.is_set() and len(self) <= MAX_WAITING:
            self.has_room.set()

    def _must_wait(self, queued: QueuedRequest) -> bool:
        return queued.after_offset is not None and self._applied_offset(queued.request.user_id) < queued.after_offset
