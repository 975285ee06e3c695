"""Rebuilds a partition's state after a restart from the logs alone: its own output, slates, then events."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from eddy.contract.prefix import PrefixDecoder
from eddy.contract.records import TrainingExample
from eddy.errors import DecodeError
from eddy_joiner.core.erasures import UserErasure
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.examples import user_of
from eddy_joiner.core.outcomes import Erased, ImpressionOutcome, Outcome, Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.restart_point import RestartPoint
from eddy_joiner.core.slates import ServedSlate
from eddy_joiner.core.state import JoinState
from eddy_joiner.core.timelines import NEVER
from eddy_joiner.core.written_examples import WrittenExamples
from eddy_joiner.shell.intake import accept_event, accept_slate
from eddy_joiner.shell.partition_logs import PartitionLog, PartitionLogs

_EXAMPLE = PrefixDecoder(TrainingExample, last="items")
YIELD_EVERY = 100


@dataclass
class RebuiltPartition:
    """A state as of event offset `position`, the outcomes up to there that have not been written, and the end of the output."""

    state: JoinState
    position: int
    output_end: int
    unwritten: list[Outcome]


async def rebuild(
    policy: AttributionPolicy,
    logs: PartitionLogs,
    output: PartitionLog,
    committed: int | None,
    restart_point: RestartPoint | None,
    beat: Callable[[], None],
) -> RebuiltPartition:
    """Rebuild the state at the `committed` event offset from the logs since the restart point, and leave the logs where work continues.

    If nothing has been committed, the state is empty and the logs are at their beginnings.
    """
    output_end = await output.end()
    if restart_point is not None:
        output.seek(restart_point.output_offset)
    written = await _read_written(output, output_end, beat)
    if restart_point is None or committed is None:
        # All events are still to be applied, from the beginnings of the logs, where readers start. The written examples tell which of them
        # have theirs already.
        return RebuiltPartition(JoinState(policy, written=written), 0, output_end, [])
    state = JoinState(
        policy, restart_point.timelines(), restart_point.reached_times, [NEVER, restart_point.slate_clock], written
    )
    unwritten = await _read_slates(state, logs.slates, restart_point, beat)
    unwritten += await _apply_events(state, logs.events, restart_point, committed, beat)
    unwritten += _examples(state.finish_rebuild(restart_point.watermarks))
    logs.events.seek(committed)
    return RebuiltPartition(state, committed, output_end, unwritten)


async def _read_written(output: PartitionLog, end: int, beat: Callable[[], None]) -> WrittenExamples:
    written = WrittenExamples()
    async for messages in output.until(end):
        beat()
        for message in messages:
            if message.tombstone:
                written.forget((message.key or b"").decode(errors="replace"))
                continue
            try:
                written.add(_EXAMPLE.decode(message.value))
            except DecodeError:
                continue  # written by another program: the joiner's own records are readable
        await asyncio.sleep(0)
    return written


async def _read_slates(
    state: JoinState, slates: PartitionLog, restart_point: RestartPoint, beat: Callable[[], None]
) -> list[Outcome]:
    unwritten: list[Outcome] = []
    slates.seek(restart_point.slates_offset)
    async for messages in slates.until(await slates.end()):
        beat()
        for index, message in enumerate(messages):
            slate = accept_slate(message, state.policy)
            if isinstance(slate, ServedSlate):
                unwritten += state.add_slate(slate)
            elif slate is not None and message.offset >= restart_point.slates_end:
                unwritten.append(slate)
            if index % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    return unwritten


async def _apply_events(
    state: JoinState, events: PartitionLog, restart_point: RestartPoint, committed: int, beat: Callable[[], None]
) -> list[Outcome]:
    unwritten: list[Outcome] = []
    events.seek(restart_point.events_offset)
    async for messages in events.until(committed):
        beat()
        state.begin_batch(messages[0].offset, restart_point.output_offset)
        for index, message in enumerate(messages):
            if message.offset >= committed:
                break
            event = accept_event(message, state.policy)
            if isinstance(event, JoinerEvent):
                unwritten += _examples(state.apply(event))
            elif isinstance(event, UserErasure):
                # It has been written, and what was not written before is forgotten.
                state.erase(event)
                unwritten = [each for each in unwritten if _user_of(each) != event.user_id]
            if index % YIELD_EVERY == 0:
                await asyncio.sleep(0)
    return unwritten


def _examples(outcomes: Iterable[Outcome]) -> list[Outcome]:
    """The outcomes that become examples: refused events have their dead letter, and impressions have been counted."""
    return [outcome for outcome in outcomes if not isinstance(outcome, Refused | ImpressionOutcome)]


def _user_of(outcome: Outcome) -> str | None:
    """The user of an example."""
    return None if isinstance(outcome, Refused | ImpressionOutcome | Erased) else user_of(outcome)
