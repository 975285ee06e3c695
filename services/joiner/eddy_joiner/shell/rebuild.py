"""A partition's state after a restart, from the logs alone: lists, then the worker's own output, then events in silence."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from eddy.contract.prefix import PrefixDecoder
from eddy.contract.records import TrainingExample
from eddy.errors import DecodeError
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.ledger import Ledger
from eddy_joiner.core.outcomes import ImpressionOutcome, Outcome, Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.rewind import Rewind
from eddy_joiner.core.slates import ServedSlate
from eddy_joiner.core.state import JoinState
from eddy_joiner.shell.intake import accept_event, accept_slate
from eddy_joiner.shell.logs import Log, Logs

_EXAMPLE = PrefixDecoder(TrainingExample, last="items")
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
        logs.slates.seek(0)
        return Rebuilt(JoinState(policy, ledger=ledger), 0, own_offset, [])
    state = JoinState(policy, rewind.clock, rewind.list_time, ledger, replay_until=rewind.now)
    owed = await _read_lists(state, logs.slates, rewind, beat)
    owed += await _replay(state, logs.events, rewind, committed, beat)
    owed += [
        outcome for outcome in state.settle(rewind.watermark) if not isinstance(outcome, Refused | ImpressionOutcome)
    ]
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


async def _read_lists(state: JoinState, slates: Log, rewind: Rewind, beat: Callable[[], None]) -> list[Outcome]:
    owed: list[Outcome] = []
    slates.seek(rewind.slates)
    async for messages in slates.until(await slates.end()):
        beat()
        for number, message in enumerate(messages):
            found = accept_slate(message, state.policy)
            if isinstance(found, ServedSlate):
                owed += state.add_slate(found)
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
        state.begin_batch(messages[0].offset, rewind.own)
        for number, message in enumerate(messages):
            if message.offset >= committed:
                break
            found = accept_event(message, state.policy)
            if isinstance(found, JoinerEvent):
                owed += [
                    outcome for outcome in state.apply(found) if not isinstance(outcome, Refused | ImpressionOutcome)
                ]
            if number % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    return owed
