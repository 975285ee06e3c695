"""Waits for a condition with a deadline, instead of sleeping."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

# Between two calls of a condition that opens connections or reads topics: it shares the cores with what it waits for.
QUERY_INTERVAL_SEC = 0.3


async def poll_until(
    condition: Callable[[], T | Awaitable[T]], timeout_sec: float = 30.0, interval_sec: float = 0.05, what: str = ""
) -> T:
    """Call `condition`, plain or async, until its result is true, and return the result.

    Raises AssertionError at the deadline, with the description `what` and the last result.
    """
    deadline = time.monotonic() + timeout_sec
    while True:
        result = condition()
        value: T = await result if inspect.isawaitable(result) else result
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(_timeout_message(condition, timeout_sec, what, value))
        await asyncio.sleep(interval_sec)


def poll_until_sync(
    condition: Callable[[], T], timeout_sec: float = 30.0, interval_sec: float = 0.05, what: str = ""
) -> T:
    """As `poll_until`, for tests without an event loop."""
    deadline = time.monotonic() + timeout_sec
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(_timeout_message(condition, timeout_sec, what, value))
        time.sleep(interval_sec)
    return value


def _timeout_message(condition: Callable[[], object], timeout_sec: float, what: str, last: object) -> str:
    name = what or getattr(condition, "__qualname__", repr(condition))
    return f"not within {timeout_sec} s: {name}; last value: {last!r}"
