"""Requests between their arrival and their batch."""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from eddy_scorer.core.ranking.request import Request

# Requests that may wait before reading pauses.
MAX_WAITING = 5000


@dataclass(frozen=True, slots=True)
class QueuedRequest:
    """A request with where it came from (partition -1: nowhere, it is a push) and when it arrived (append time, milliseconds)."""

    request: Request
    partition: int = -1
    offset: int = -1
    arrived_at: int = 0
    after_offset: int | None = None
    answer_by: int = 0


class RequestQueue:
    """Holds requests whose user's features are not far enough until they are, or until `answer_by` (wall clock, milliseconds).

    Requests of partitions whose users are still being loaded wait for that, whatever their deadline: nothing true could be said.
    Everybody else passes at once, in order.
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
        """Requests waiting for whatever reason."""
        waiting = sum(len(tickets) for tickets in self._by_user.values())
        return len(self._ready) + waiting + sum(len(tickets) for tickets in self._unloaded.values())

    @property
    def ready(self) -> bool:
        """Whether somebody can be answered."""
        return bool(self._ready or self._pushes)

    def next_deadline(self) -> int | None:
        """When the next one that waits must be answered."""
        return self._deadlines[0][0] if self._deadlines else None

    def add(self, ticket: QueuedRequest) -> None:
        """Take a request in."""
        if ticket.partition not in self._loaded:
            self._unloaded.setdefault(ticket.partition, []).append(ticket)
        elif self._too_early(ticket):
            self._by_user.setdefault(ticket.request.user_id, []).append(ticket)
            heapq.heappush(self._deadlines, (ticket.answer_by, ticket.partition, ticket.offset, ticket))
        else:
            self._ready.append(ticket)
        if len(self) > MAX_WAITING:
            self.has_room.clear()

    def push(self, ticket: QueuedRequest) -> None:
        """Take a push in; only the newest of a user is kept."""
        self._pushes[ticket.request.user_id] = ticket

    def features_changed(self, user_id: str) -> None:
        """Let those go that waited for this user's features, as far as these are now."""
        waiting = self._by_user.pop(user_id, None)
        if waiting:
            still = [ticket for ticket in waiting if self._too_early(ticket)]
            self._ready.extend(ticket for ticket in waiting if not self._too_early(ticket))
            if still:
                self._by_user[user_id] = still

    def expire(self, now: int) -> int:
        """Let those go whose time is up; how many."""
        late = 0
        while self._deadlines and self._deadlines[0][0] <= now:
            ticket = heapq.heappop(self._deadlines)[3]
            waiting = self._by_user.get(ticket.request.user_id, [])
            if ticket in waiting:
                waiting.remove(ticket)
                if not waiting:
                    del self._by_user[ticket.request.user_id]
                self._ready.append(ticket)
                late += 1
        return late

    def take(self, limit: int) -> list[QueuedRequest]:
        """Up to `limit` tickets, requests before pushes."""
        taken = [self._ready.popleft() for _ in range(min(limit, len(self._ready)))]
        pushed = list(self._pushes)[: limit - len(taken)]
        self._make_room()
        return taken + [self._pushes.pop(user_id) for user_id in pushed]

    def partition_loaded(self, partition: int) -> None:
        """The users of a partition are all there: take in who waited for that."""
        self._loaded.add(partition)
        for ticket in self._unloaded.pop(partition, []):
            self.add(ticket)

    def drop_partitions(self, partitions: set[int]) -> None:
        """Send away the requests of partitions that others answer now."""

        def stays(ticket: QueuedRequest) -> bool:
            return ticket.partition not in partitions

        self._loaded -= partitions
        self._ready = deque(filter(stays, self._ready))
        self._deadlines = [entry for entry in self._deadlines if stays(entry[3])]
        heapq.heapify(self._deadlines)
        kept = {user: list(filter(stays, tickets)) for user, tickets in self._by_user.items()}
        self._by_user = {user: tickets for user, tickets in kept.items() if tickets}
        self._unloaded = {number: tickets for number, tickets in self._unloaded.items() if number not in partitions}

        self._make_room()

    def _make_room(self) -> None:
        if not self.has_room.is_set() and len(self) <= MAX_WAITING:
            self.has_room.set()

    def _too_early(self, ticket: QueuedRequest) -> bool:
        return ticket.after_offset is not None and self._applied_offset(ticket.request.user_id) < ticket.after_offset
