"""Waits until the joiner has processed all played events, and reads the impression ledger."""

import asyncio
import time
from collections.abc import Mapping, Set

from eddy.contract.message import TopicPartition
from eddy.contract.topics import USER_EVENTS
from eddy.errors import FatalError
from eddy.kafka.bus import Bus, Reader
from eddy_cli.replay.services import open_impressions
from eddy_cli.replay.tail import Tail
from eddy_cli.report import LedgerReport

JOINER_GROUP = "joiner"
_POLL_SEC = 0.25


async def wait_for_joiner(bus: Bus, reader: Reader, timeout_sec: float = 120.0) -> None:
    """Wait until the joiner has committed the end of user-events. Raises FatalError after `timeout_sec`."""
    ends = await reader.end_offsets(bus.topic_partitions(USER_EVENTS))
    deadline = time.monotonic() + timeout_sec
    while lag := await _joiner_lag(bus, ends):
        if time.monotonic() > deadline:
            raise FatalError(f"the joiner is {lag} events behind after {timeout_sec:.0f} s. Check that it runs.")
        await asyncio.sleep(_POLL_SEC)


async def read_ledger(
    tail: Tail,
    reader: Reader,
    joiner_urls: str,
    impressions: int,
    before: int,
    meanwhile: Set[str],
    timeout_sec: float = 20.0,
) -> LedgerReport:
    """The impression ledger of this replay.

    The joiner's open impressions include those that were open `before` the replay, less the ones labelled since; requests of others that
    were answered `meanwhile` were not among them. Attribution windows keep closing, so labels and open impressions are read again until
    the ledger balances, or until `timeout_sec`.
    """
    deadline = time.monotonic() + timeout_sec
    while True:
        still_open = await open_impressions(joiner_urls)
        await tail.catch_up(reader)
        closed = sum(items for request_id, items in tail.outcome.other_requests.items() if request_id not in meanwhile)
        own_open = still_open - (before - closed)
        ledger = LedgerReport(impressions, tail.outcome.positive, tail.outcome.negative, own_open)
        if ledger.unaccounted == 0 or time.monotonic() > deadline:
            return ledger
        await asyncio.sleep(_POLL_SEC)


async def _joiner_lag(bus: Bus, ends: Mapping[TopicPartition, int]) -> int:
    committed = await bus.committed(JOINER_GROUP, USER_EVENTS)
    return sum(max(0, end - committed.get(partition, 0)) for partition, end in ends.items())
