"""A partition's state after a restart, from the logs alone: lists, then the worker's own output, then events in silence."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from eddy.contract.prefix import Prefix
from eddy.contract.records import TrainingExample
from eddy.errors import DecodeError
from eddy_joiner.core.events import Event
from eddy_joiner.core.ledger import Ledger
from eddy_joiner.core.lists import ServedList
from eddy_joiner.core.outcomes import Outcome, Refused, Shown
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.rewind import Rewind
from eddy_joiner.core.state import JoinState
from eddy_joiner.shell.intake import take_event, take_list
from eddy_joiner.shell.logs import Log, Logs

_EXAMPLE = Prefix(TrainingExample, last="items")
YIELD_EVERY = 100


@dataclass
class Rebuilt:
    """A state as of `position`, what it owes (examples that could not be written before), and the end of its own output."""

    state: JoinState
    position: int
    own_offset: int
    owed: list[Outcome]


async def rebuild(
    policy: AttributionPolicy,
    logs: Logs,
    own: Log,
    committed: int | None,
    rewind: Rewind | None,
    beat: Callable[[], None],
) -> Rebuilt:
    """Read the logs from the rewind on; from their beginnings where nothing was committed. The logs stand where work goes on."""
    own_offset = await own.end()
    ledger = await _read_ledger(own, 0 if rewind is None else rewind.own, own_offset, beat)
    if rewind is None or committed is None:
        # Nothing is committed: all events are still to come, and the ledger says which of them were answered before.
        logs.events.seek(0)
        logs.lists.seek(0)
        return Rebuilt(JoinState(policy, ledger=ledger), 0, own_offset, [])
    state = JoinState(policy, rewind.clock, rewind.list_time, ledger, replay_until=rewind.now)
    owed = await _read_lists(state, logs.lists, rewind, beat)
    owed += await _replay(state, logs.events, rewind, committed, beat)
    owed += [outcome for outcome in state.settle(rewind.watermark) if not isinstance(outcome, Refused | Shown)]
    logs.events.seek(committed)
    return Rebuilt(state, committed, own_offset, owed)


async def _read_ledger(own: Log, start: int, end: int, beat: Callable[[], None]) -> Ledger:
    ledger = Ledger()
    own.seek(start)
    async for messages in own.until(end):
        beat()
        for message in messages:
            try:
                ledger.note(_EXAMPLE.decode(message.value))
            except DecodeError:
                continue  # somebody else's bytes: the worker writes none that it cannot read
        await asyncio.sleep(0)
    return ledger


async def _read_lists(state: JoinState, lists: Log, rewind: Rewind, beat: Callable[[], None]) -> list[Outcome]:
    owed: list[Outcome] = []
    lists.seek(rewind.lists)
    async for messages in lists.until(await lists.end()):
        beat()
        for number, message in enumerate(messages):
            found = take_list(message, state.policy)
            if isinstance(found, ServedList):
                owed += state.add_list(found)
            elif found is not None and message.offset >= rewind.lists_read:
                owed.append(found)
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    return owed


async def _replay(
    state: JoinState, events: Log, rewind: Rewind, committed: int, beat: Callable[[], None]
) -> list[Outcome]:
    owed: list[Outcome] = []
    events.seek(rewind.events)
    async for messages in events.until(committed):
        beat()
        state.begin(messages[0].offset, rewind.own)
        for number, message in enumerate(messages):
            if message.offset >= committed:
                break
            found = take_event(message, state.policy)
            if isinstance(found, Event):
                owed += [outcome for outcome in state.apply(found) if not isinstance(outcome, Refused | Shown)]
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    return owed
