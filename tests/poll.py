"""Waiting for a condition with a deadline: what tests do instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")


async def poll_until(
    condition: Callable[[], T | Awaitable[T]], timeout_sec: float = 30.0, interval_sec: float = 0.05, what: str = ""
) -> T:
    """Call `condition`, plain or async, until what it gives is true, and return that.

    Raises AssertionError at the deadline, with `what` was waited for and what it gave last.
    """
    deadline = time.monotonic() + timeout_sec
    while True:
        given = condition()
        value: T = await given if inspect.isawaitable(given) else given
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(condition, timeout_sec, what, value))
        await asyncio.sleep(interval_sec)


def poll_until_sync(
    condition: Callable[[], T], timeout_sec: float = 30.0, interval_sec: float = 0.05, what: str = ""
) -> T:
    """As `poll_until`, for tests without an event loop."""
    deadline = time.monotonic() + timeout_sec
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_complaint(condition, timeout_sec, what, value))
        time.sleep(interval_sec)
    return value


def _complaint(condition: Callable[[], object], timeout_sec: float, what: str, last: object) -> str:
    name = what or getattr(condition, "__qualname__", repr(condition))
    return f"not within {timeout_sec} s: {name}; last value: {last!r}"
