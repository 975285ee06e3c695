"""Admission: how much work may be in progress at once, by the time that it takes, and how much of it for each caller."""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from eddy.shares import FairShares

# Factors of a decrease, for answers that were too slow and for those that did not come.
_SLOW, _UNANSWERED = 0.9, 0.7
# Work that is not answered lowers the limit below the minimum, to this share of it.
_LEAST_SHARE = 0.125
# Work that waits to be admitted, also shared among callers.
_MAX_WAITING = 512
# While work is refused, waiting helps little and costs time: of a caller, only this share of the limit waits.
_CROWDED_SHARE = 0.25
# Callers that are looked at for the next piece of work, when one ends.
_CALLERS_TRIED = 8
# A piece of work counts at most as this share of the limit, so that a large one is admitted even when the limit is small.
_LARGEST_SHARE = 0.25


@dataclass(frozen=True, slots=True, eq=False)
class _Waiter:
    amount: float
    timed: bool
    admitted: "asyncio.Future[Work]"


@dataclass(slots=True)
class Work:
    """Admitted work of a caller. Work that is not `timed` may also wait for something else: that it takes long says nothing."""

    caller: str
    amount: float
    timed: bool
    admitted_at: float
    started_at: float


class Admission:
    """Admits work as long as it is answered within `target_sec`, and shares what is admitted among callers (FairShares).

    The limit grows while work is answered in time and callers use it, and shrinks when work takes longer or is not answered (additive
    increase, multiplicative decrease; doubling while the time is below half of the target). Below `minimum`, where a lower limit would
    cost more throughput than delay, only work without an answer lowers it. Amounts are in any unit: requests, bytes.
    What does not fit waits for `target_sec` at most, the callers in turn and of each the newest work first: its caller is the least likely
    to have given up. Once work was refused, only little of a caller waits until none has been refused for twice the target: in a lasting
    overload most of what waits would be refused in the end, and a refusal at once is far cheaper.
    """

    def __init__(
        self,
        initial: float,
        minimum: float,
        maximum: float,
        target_sec: float,
        now: Callable[[], float] = time.monotonic,
        share_factor: float = 1.0,
    ) -> None:
        self._minimum, self._maximum = minimum, maximum
        self._target_sec = target_sec
        self._now = now
        self._shares = FairShares(initial, share_factor)
        self._room = FairShares(_MAX_WAITING)
        self._decreased_at = -1.0
        self._refused_at = -math.inf
        self._waiting: OrderedDict[str, OrderedDict[_Waiter, None]] = OrderedDict()

    @property
    def limit(self) -> float:
        """What may be in progress at present."""
        return self._shares.limit

    @property
    def in_progress(self) -> float:
        """What is in progress."""
        return self._shares.used

    def admit(self, caller: str, amount: float = 1.0, *, timed: bool = True) -> Work | None:
        """Admit work, or None if it does not fit now. Call `finish` exactly once for admitted work."""
        amount = self._counted(amount)
        if not self._shares.take(caller, amount):
            return None
        now = self._now()
        return Work(caller, amount, timed, now, now)

    async def wait(self, caller: str, amount: float = 1.0, *, timed: bool = True) -> Work | None:
        """As `admit`, after a wait if need be; None if it must be refused."""
        if work := self.admit(caller, amount, timed=timed):
            return work
        if not self._has_room(caller):
            self._refused_at = self._now()
            return None
        self._room.take(caller)
        waiter = _Waiter(amount, timed, asyncio.get_running_loop().create_future())
        self._waiting.setdefault(caller, OrderedDict())[waiter] = None
        try:
            async with asyncio.timeout(self._target_sec):
                return await asyncio.shield(waiter.admitted)
        except TimeoutError:
            if waiter.admitted.done():  # in the same turn of the loop
                return waiter.admitted.result()
            self._refused_at = self._now()
            return None
        except asyncio.CancelledError:
            if waiter.admitted.done():
                self.finish(waiter.admitted.result(), answered=None)
            raise
        finally:
            self._room.give_back(caller)
            self._leave(caller, waiter)

    @property
    def crowded(self) -> bool:
        """Whether work was refused within twice the target."""
        return self._now() < self._refused_at + 2 * self._target_sec

    def refuses(self, caller: str, amount: float = 1.0) -> bool:
        """Whether `wait` would refuse work at once; then it counts as refused."""
        if self._shares.fits(caller, self._counted(amount)) or self._has_room(caller):
            return False
        self._refused_at = self._now()
        return True

    def _counted(self, amount: float) -> float:
        return min(amount, _LARGEST_SHARE * self._shares.limit)

    def _has_room(self, caller: str) -> bool:
        """Whether one more piece of work of a caller may wait."""
        return self._room.fits(caller) and not (
            self.crowded and self._room.held_by(caller) >= _CROWDED_SHARE * self._shares.limit
        )

    def _leave(self, caller: str, waiter: _Waiter) -> None:
        waiters = self._waiting.get(caller) or OrderedDict()
        waiters.pop(waiter, None)
        if not waiters:
            self._waiting.pop(caller, None)

    def _admit_waiting(self) -> None:
        """Admit waiting work that fits now: callers in turn."""
        tried = 0
        while self._waiting and tried < _CALLERS_TRIED:
            caller, waiters = next(iter(self._waiting.items()))
            waiter = next(reversed(waiters))
            work = self.admit(caller, waiter.amount, timed=waiter.timed)
            self._waiting.move_to_end(caller)
            if work is None:
                tried += 1
                continue
            self._leave(caller, waiter)
            waiter.admitted.set_result(work)

    def start(self, work: Work) -> None:
        """Begin to measure the time: before that, the caller was the one who was waited for."""
        work.started_at = self._now()

    def is_heavy(self, caller: str) -> bool:
        """Whether a refused caller has at least an equal share of what is in progress, so that it is itself the cause."""
        return self._shares.held_by(caller) * max(self._shares.callers, 1) >= self._shares.used > 0

    def finish(self, work: Work, answered: bool | None) -> None:
        """End work that was answered, was not (the service behind is overloaded or down), or says nothing about that (None)."""
        shares, now = self._shares, self._now()
        took_sec = now - work.started_at
        slow = took_sec > self._target_sec
        # Only work that was admitted under the present limit tells that it is too high.
        current = work.admitted_at > self._decreased_at
        if answered is False:
            if current:
                self._lower(_UNANSWERED, self._minimum * _LEAST_SHARE)
        elif answered and slow and work.timed and shares.limit > self._minimum:
            if current:
                self._lower(_SLOW, self._minimum)
        elif answered and 2 * shares.used >= shares.limit - work.amount:
            quick = took_sec < self._target_sec / 2
            shares.limit += work.amount if quick else work.amount**2 / shares.limit
            shares.limit = min(self._maximum, shares.limit)
        shares.give_back(work.caller, work.amount)
        self._admit_waiting()

    def _lower(self, factor: float, least: float) -> None:
        self._shares.limit = max(least, factor * self._shares.limit)
        self._decreased_at = self._now()
