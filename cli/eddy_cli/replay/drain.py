"""Waiting until the joiner has taken in everything that was played, and reading the books."""

import asyncio
import time
from collections.abc import Mapping, Set

from eddy.contract.message import TopicPartition
from eddy.contract.topics import USER_EVENTS
from eddy.errors import FatalError
from eddy.kafka.bus import Bus, Reader
from eddy_cli.replay.services import open_items
from eddy_cli.replay.tail import Tail
from eddy_cli.report import LedgerReport

JOINER_GROUP = "joiner"
_POLL_SEC = 0.25


async def joiner_passed(bus: Bus, reader: Reader, timeout_sec: float = 120.0) -> None:
    """Wait until the joiner has committed the end of user-events. Raises FatalError when it does not get there."""
    ends = await reader.end_offsets(bus.topic_partitions(USER_EVENTS))
    deadline = time.monotonic() + timeout_sec
    while behind := await _behind(bus, ends):
        if time.monotonic() > deadline:
            raise FatalError(f"the joiner is {behind} events behind after {timeout_sec:.0f} s. Check that it runs.")
        await asyncio.sleep(_POLL_SEC)


async def read_books(
    tail: Tail,
    reader: Reader,
    joiner_urls: str,
    shown: int,
    before: int,
    meanwhile: Set[str],
    timeout_sec: float = 20.0,
) -> LedgerReport:
    """The ledger at one moment: labels read to the end between two readings of the open items that agree.

    Of the open items, those that were open `before` the replay, as far as they have no label yet, are not its own; requests of others that
    were answered `meanwhile` were not among them. An idle partition's windows go on closing, so the reading is repeated until it balances,
    or until the deadline.
    """
    deadline = time.monotonic() + timeout_sec
    while True:
        still_open = await open_items(joiner_urls)
        await tail.catch_up(reader)
        closed = sum(items for request_id, items in tail.outcome.others.items() if request_id not in meanwhile)
        own_open = still_open - (before - closed)
        ledger = LedgerReport(shown, tail.outcome.positive, tail.outcome.negative, own_open)
        if ledger.unaccounted == 0 or time.monotonic() > deadline:
            return ledger
        await asyncio.sleep(_POLL_SEC)


async def _behind(bus: Bus, ends: Mapping[TopicPartition, int]) -> int:
    committed = await bus.committed(JOINER_GROUP, USER_EVENTS)
    return sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())
