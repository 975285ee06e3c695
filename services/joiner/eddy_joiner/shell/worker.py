"""The worker of one partition: reads both logs, joins, writes, one transaction for each batch of events."""

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
from eddy_joiner.core.events import JoinerEvent
from eddy_joiner.core.outcomes import Negative, Outcome, Positive, Refused
from eddy_joiner.core.policy import AttributionPolicy
from eddy_joiner.core.rewind import Rewind, rewind_of
from eddy_joiner.settings import JoinerSettings
from eddy_joiner.shell.books import SERVICE, Books
from eddy_joiner.shell.intake import accept_event, accept_slate
from eddy_joiner.shell.logs import Logs, own_output
from eddy_joiner.shell.rebuild import YIELD_EVERY, Rebuilt, rebuild
from eddy_joiner.shell.transaction import Transactions

log = structlog.get_logger()

# A transaction that its owner cannot end is ended by the broker after this long; readers of examples wait so long at most.
TRANSACTION_TIMEOUT_MS = 10_000
_POLL_MS = 200


@dataclass(frozen=True)
class Shop:
    """What all workers of a process share."""

    settings: JoinerSettings
    policy: AttributionPolicy
    bus: Bus
    probe: Reader
    books: Books
    clock: Clock
    runs: PoisonRuns


class Worker:
    """Owns a partition for as long as `run` runs. `last_turn` is monotonic; `ready` says that the state is rebuilt."""

    def __init__(self, shop: Shop, partition: int) -> None:
        self._shop = shop
        self._partition = partition
        self.ready = False
        self.last_turn = time.monotonic()

    async def run(self) -> None:
        """Work until cancelled. Raises whatever Kafka raises; then everything here is void, and a new worker must take over."""
        shop, settings = self._shop, self._shop.settings
        # The producer comes first: it fences the former owner and ends its transaction, so that what is read next stays true.
        async with (
            shop.bus.transactional_producer(
                f"{settings.joiner_group}-{self._partition}",
                transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
                retry_backoff_ms=20,
            ) as producer,
            Logs.open(shop.bus, shop.probe, self._partition) as logs,
        ):
            letters = DeadLetters(SERVICE, shop.bus, producer, shop.clock, shop.runs)
            transactions = Transactions(shop.bus, producer, letters, settings.joiner_group, self._partition, shop.clock)
            rebuilt = await self._rebuild(logs)
            try:
                await _Turns(shop, self._partition, logs, transactions, rebuilt, self).run()
            finally:
                await transactions.abort()

    async def _rebuild(self, logs: Logs) -> Rebuilt:
        shop, started = self._shop, time.monotonic()
        source = logs.events.partition
        committed = (await shop.bus.commits(shop.settings.joiner_group, USER_EVENTS)).get(source)
        position, rewind = (None, None) if committed is None else (committed[0], Rewind.decode(committed[1]))
        async with own_output(shop.bus, shop.probe, self._partition) as own:
            rebuilt = await rebuild(shop.policy, logs, own, position, rewind, self.beat)
        state = rebuilt.state
        shop.books.take_over(self._partition, [*state.open_by_scenario(), *_owed_scenarios(rebuilt.owed)])
        shop.books.enter(self._partition, [], state.open_impressions, state.watermark)
        log.info(
            "partition_rebuilt",
            partition=self._partition,
            position=rebuilt.position,
            open=state.open_impressions,
            owed=len(rebuilt.owed),
            seconds=round(time.monotonic() - started, 3),
        )
        return rebuilt

    def beat(self) -> None:
        self.last_turn = time.monotonic()


class _Turns:
    """The loop over a rebuilt state."""

    def __init__(
        self, shop: Shop, partition: int, logs: Logs, transactions: Transactions, rebuilt: Rebuilt, worker: Worker
    ) -> None:
        self._shop = shop
        self._partition = partition
        self._logs = logs
        self._transactions = transactions
        self._state = rebuilt.state
        self._position = rebuilt.position
        self._own_offset = rebuilt.own_offset
        self._pending = rebuilt.owed
        self._worker = worker
        self._idle_since: tuple[int, int] | None = None  # wall clock and watermark when the partition fell idle
        self._committed_at = shop.clock.now_ms()
        self._turn_after = 0.0  # monotonic

    async def run(self) -> None:
        self._worker.ready = True
        while True:
            self._worker.beat()
            await asyncio.sleep(self._turn_after - time.monotonic())
            messages = await self._logs.events.batch(_POLL_MS, self._shop.settings.joiner_batch_events)
            ends = await self._shop.probe.end_offsets([self._logs.events.partition, self._logs.slates.partition])
            await self._read_lists(ends[self._logs.slates.partition])
            LAG.labels(SERVICE, USER_EVENTS, str(self._partition)).set(
                ends[self._logs.events.partition] - await self._logs.events.position()
            )
            if messages:
                await self._join(messages)
            elif await self._logs.events.position() >= ends[self._logs.events.partition]:
                self._pass_time()
            if messages or self._pending or self._commit_is_due():
                await self._commit()
            if len(messages) >= self._shop.settings.joiner_batch_events:
                self._turn_after = 0.0  # more is waiting: larger transactions are not to be had

    async def _read_lists(self, end: int) -> None:
        async for messages in self._logs.slates.until(end):
            RECORDS.labels(SERVICE, RECOMMENDATIONS).inc(len(messages))
            for number, message in enumerate(messages):
                found = accept_slate(message, self._shop.policy)
                if isinstance(found, Refused):
                    self._shop.runs.note_unusable(message, found.reason)
                    self._pending.append(found)
                else:
                    self._shop.runs.note_usable(message)
                    self._pending += [] if found is None else self._state.add_slate(found)
                if number % YIELD_EVERY == 0:
                    await asyncio.sleep(0)
            self._worker.beat()

    async def _join(self, messages: Sequence[Message]) -> None:
        self._idle_since = None
        RECORDS.labels(SERVICE, USER_EVENTS).inc(len(messages))
        BATCH_RECORDS.labels(SERVICE).observe(len(messages))
        with STAGE_SECONDS.labels(SERVICE, "join").time():
            self._state.begin_batch(messages[0].offset, self._own_offset)
            for number, message in enumerate(messages):
                found = accept_event(message, self._shop.policy)
                if isinstance(found, JoinerEvent):
                    self._shop.runs.note_usable(message)
                    self._pending += self._state.apply(found)
                else:
                    self._shop.runs.note_unusable(message, found.reason)
                    self._pending += [found] if isinstance(found, Refused) else []
                if number % YIELD_EVERY == YIELD_EVERY - 1:
                    await asyncio.sleep(0)
        self._position = messages[-1].offset + 1

    def _pass_time(self) -> None:
        """Nothing is unread: move the watermark on at wall speed."""
        now = self._shop.clock.now_ms()
        if self._idle_since is None:
            self._idle_since = (now, self._state.watermark)
        elif self._state.busy:
            started, watermark = self._idle_since
            self._pending += self._state.idle(watermark + now - started)
        self._set_open()

    def _commit_is_due(self) -> bool:
        """An idle partition commits its watermark now and then, so that a restart does not begin the wait anew."""
        waited = self._shop.clock.now_ms() - self._committed_at
        return (
            self._idle_since is not None
            and self._state.busy
            and waited > self._shop.settings.joiner_idle_commit_sec * 1000
        )

    async def _commit(self) -> None:
        self._turn_after = time.monotonic() + self._shop.settings.joiner_transaction_interval_sec
        position = max(self._position, await self._logs.events.position())
        rewind = rewind_of(self._state, position, await self._logs.slates.position(), self._own_offset)
        with STAGE_SECONDS.labels(SERVICE, "commit").time():
            own_offset = await self._transactions.commit(self._pending, position, rewind)
        self._own_offset = own_offset or self._own_offset
        self._shop.books.enter(self._partition, self._pending, self._state.open_impressions, self._state.watermark)
        self._pending = []
        self._shop.runs.check()
        self._committed_at = self._shop.clock.now_ms()

    def _set_open(self) -> None:
        if not self._pending:
            self._shop.books.enter(self._partition, [], self._state.open_impressions, self._state.watermark)


def _owed_scenarios(owed: Sequence[Outcome]) -> list[str]:
    """The scenario of each label that is still to be written."""
    found: list[str] = []
    for outcome in owed:
        if isinstance(outcome, Positive):
            found.append(outcome.served.scenario)
        elif isinstance(outcome, Negative):
            found += [outcome.served.scenario] * len(outcome.impressions)
    return found
