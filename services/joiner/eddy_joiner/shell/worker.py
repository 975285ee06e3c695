"""The worker of one partition: reads both logs, joins them, and writes one transaction for each batch of events."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from eddy.clock import Clock
from eddy.contract.message import Message
from eddy.contract.poison import PoisonRuns
from eddy.contract.topics import RECOMMENDATIONS, USER_EVENTS
from eddy.kafka.bus import Bus, Reader
from eddy.kafka.dead_letters import DeadLetters
from eddy.metrics import BATCH_RECORDS, LAG, RECORDS, STAGE_SECONDS
from eddy_joiner.core.erasures import UserErasure
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.outcomes import Negative, Outcome, Positive, Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.restart_point import RestartPoint, restart_point
from eddy_joiner.settings import JoinerSettings
from eddy_joiner.shell.impression_ledger import SERVICE, ImpressionLedger
from eddy_joiner.shell.intake import accept_event, accept_slate
from eddy_joiner.shell.partition_logs import PartitionLogs, open_output
from eddy_joiner.shell.rebuild import YIELD_EVERY, RebuiltPartition, rebuild
from eddy_joiner.shell.transactions import Transactions

log = structlog.get_logger()

# The broker aborts a transaction that its owner has not ended by then. Readers of examples wait at most as long.
TRANSACTION_TIMEOUT_MS = 10_000
_POLL_MS = 200


@dataclass(frozen=True)
class WorkerContext:
    """The parts that all workers of a process share."""

    settings: JoinerSettings
    policy: AttributionPolicy
    bus: Bus
    probe: Reader
    ledger: ImpressionLedger
    clock: Clock
    poison_runs: PoisonRuns


class Worker:
    """Owns a partition while `run` runs. `last_turn` is monotonic time; `ready` says that the state has been rebuilt."""

    def __init__(self, context: WorkerContext, partition: int) -> None:
        self._context = context
        self._partition = partition
        self.ready = False
        self.last_turn = time.monotonic()

    async def run(self) -> None:
        """Work until cancelled. Raises KafkaError and others; the worker is then invalid, and a new one must replace it."""
        context, settings = self._context, self._context.settings
        # The producer starts first: it fences the former owner and aborts its transaction, so that the logs read next do not change.
        async with (
            context.bus.transactional_producer(
                f"{settings.joiner_group}-{self._partition}",
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                retry_backoff_ms=20,
            ) as producer,
            PartitionLogs.open(context.bus, context.probe, self._partition) as logs,
        ):
            dead_letters = DeadLetters(SERVICE, context.bus, producer, context.clock, context.poison_runs)
            transactions = Transactions(
                context.bus, producer, dead_letters, settings.joiner_group, self._partition, context.clock
            )
            rebuilt = await self._rebuild(logs)
            try:
                await _JoinLoop(context, self._partition, logs, transactions, rebuilt, self).run()
            finally:
                await transactions.abort()

    async def _rebuild(self, logs: PartitionLogs) -> RebuiltPartition:
        context, started = self._context, time.monotonic()
        source = logs.events.partition
        committed = (await context.bus.commits(context.settings.joiner_group, USER_EVENTS)).get(source)
        position, restart = (None, None) if committed is None else (committed[0], RestartPoint.decode(committed[1]))
        async with open_output(context.bus, context.probe, self._partition) as output:
            rebuilt = await rebuild(context.policy, logs, output, position, restart, self.beat)
        state = rebuilt.state
        scenarios = [*state.open_by_scenario(), *_scenarios_of_labels(rebuilt.unwritten)]
        context.ledger.take_over(self._partition, scenarios)
        context.ledger.record(self._partition, [], state.open_impressions, state.watermark)
        log.info(
            "partition_rebuilt",
            partition=self._partition,
            position=rebuilt.position,
            open=state.open_impressions,
            unwritten=len(rebuilt.unwritten),
            seconds=round(time.monotonic() - started, 3),
        )
        return rebuilt

    def beat(self) -> None:
        self.last_turn = time.monotonic()


class _JoinLoop:
    """The turns of a worker, once its state has been rebuilt."""

    def __init__(
        self,
        context: WorkerContext,
        partition: int,
        logs: PartitionLogs,
        transactions: Transactions,
        rebuilt: RebuiltPartition,
        worker: Worker,
    ) -> None:
        self._context = context
        self._partition = partition
        self._logs = logs
        self._transactions = transactions
        self._state = rebuilt.state
        self._position = rebuilt.position
        self._output_end = rebuilt.output_end
        self._uncommitted = rebuilt.unwritten
        self._worker = worker
        self._idle_since: tuple[int, int] | None = None  # wall clock and watermark (ms) at the start of the idle period
        self._committed_at = context.clock.now_ms()
        self._turn_after = 0.0  # monotonic time

    async def run(self) -> None:
        self._worker.ready = True
        while True:
            self._worker.beat()
            await asyncio.sleep(self._turn_after - time.monotonic())
            messages = await self._logs.events.batch(_POLL_MS, self._context.settings.joiner_batch_events)
            ends = await self._context.probe.end_offsets([self._logs.events.partition, self._logs.slates.partition])
            await self._read_slates(ends[self._logs.slates.partition])
            LAG.labels(SERVICE, USER_EVENTS, str(self._partition)).set(
                ends[self._logs.events.partition] - await self._logs.events.position()
            )
            if messages:
                await self._join(messages)
            elif await self._logs.events.position() >= ends[self._logs.events.partition]:
                self._pass_time()
            if messages or self._uncommitted or self._commit_is_due():
                await self._commit()
            if len(messages) >= self._context.settings.joiner_batch_events:
                self._turn_after = 0.0  # a full batch: more events are waiting, so do not pause

    async def _read_slates(self, end: int) -> None:
        async for messages in self._logs.slates.until(end):
            RECORDS.labels(SERVICE, RECOMMENDATIONS).inc(len(messages))
            for index, message in enumerate(messages):
                slate = accept_slate(message, self._context.policy)
                if isinstance(slate, Refused):
                    self._context.poison_runs.note_unusable(message, slate.reason)
                    self._uncommitted.append(slate)
                else:
                    self._context.poison_runs.note_usable(message)
                    self._uncommitted += [] if slate is None else self._state.add_slate(slate)
                if index % YIELD_EVERY == 0:
                    await asyncio.sleep(0)
            self._worker.beat()

    async def _join(self, messages: Sequence[Message]) -> None:
        self._idle_since = None
        RECORDS.labels(SERVICE, USER_EVENTS).inc(len(messages))
        BATCH_RECORDS.labels(SERVICE).observe(len(messages))
        with STAGE_SECONDS.labels(SERVICE, "join").time():
            self._state.begin_batch(messages[0].offset, self._output_end)
            for index, message in enumerate(messages):
                event = accept_event(message, self._context.policy)
                if isinstance(event, JoinerEvent):
                    self._context.poison_runs.note_usable(message)
                    self._uncommitted += self._state.apply(event)
                elif isinstance(event, UserErasure):
                    self._context.poison_runs.note_usable(message)
                    self._uncommitted += self._state.erase(event)
                else:
                    self._context.poison_runs.note_unusable(message, event.reason)
                    self._uncommitted += [event] if isinstance(event, Refused) else []
                if index % YIELD_EVERY == YIELD_EVERY - 1:
                    await asyncio.sleep(0)
        self._position = messages[-1].offset + 1

    def _pass_time(self) -> None:
        """Advance the watermark of an idle partition with the wall clock."""
        now = self._context.clock.now_ms()
        if self._idle_since is None:
            self._idle_since = (now, self._state.watermark)
        elif self._state.busy:
            started, watermark = self._idle_since
            self._uncommitted += self._state.idle(watermark + now - started)
        self._report()

    def _commit_is_due(self) -> bool:
        """Whether an idle partition should commit its watermark, so that windows do not start again after a restart."""
        elapsed_ms = self._context.clock.now_ms() - self._committed_at
        return (
            self._idle_since is not None
            and self._state.busy
            and elapsed_ms > self._context.settings.joiner_idle_commit_sec * 1000
        )

    async def _commit(self) -> None:
        self._turn_after = time.monotonic() + self._context.settings.joiner_transaction_interval_sec
        position = max(self._position, await self._logs.events.position())
        restart = restart_point(self._state, position, await self._logs.slates.position(), self._output_end)
        with STAGE_SECONDS.labels(SERVICE, "commit").time():
            output_end = await self._transactions.commit(self._uncommitted, position, restart)
        self._output_end = output_end or self._output_end
        self._context.ledger.record(
            self._partition, self._uncommitted, self._state.open_impressions, self._state.watermark
        )
        self._uncommitted = []
        self._context.poison_runs.check()
        self._committed_at = self._context.clock.now_ms()

    def _report(self) -> None:
        if not self._uncommitted:
            self._context.ledger.record(self._partition, [], self._state.open_impressions, self._state.watermark)


def _scenarios_of_labels(outcomes: Sequence[Outcome]) -> list[str]:
    """The scenario of each label among the outcomes."""
    scenarios: list[str] = []
    for outcome in outcomes:
        if isinstance(outcome, Positive):
            scenarios.append(outcome.slate.scenario)
        elif isinstance(outcome, Negative):
            scenarios += [outcome.slate.scenario] * len(outcome.impressions)
    return scenarios
