"""Reads a topic from the beginning into the state, and keeps following it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from eddy.contract.message import Message, TopicPartition
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, Reader
from eddy.kafka.dead_letters import DeadLetters
from eddy.metrics import RECORDS
from eddy_scorer.shell.lag import observe_lag
from eddy_scorer.shell.service import SERVICE

# Maximum wait of an idle fetch; the broker answers at once when a record arrives.
_FETCH_WAIT_MS = 500
_BATCH_RECORDS = 500
# Records applied before other tasks of the event loop run.
_SLICE = 32


class Follower:
    """Reads partitions of one topic and applies each message. Unusable messages go to the dead letters.

    `positions` are the next offsets by partition; another `follow` continues from them. `on_batch` is called after each applied batch,
    `on_poll` after every poll, with or without messages.
    """

    def __init__(
        self,
        bus: Bus,
        topic: str,
        apply: Callable[[Message], None],
        dead_letters: DeadLetters,
        on_batch: Callable[[], None] = lambda: None,
        on_poll: Callable[[], None] = lambda: None,
        refuse: Callable[[Message, PoisonError], Awaitable[object]] | None = None,
    ) -> None:
        self._refuse = refuse or dead_letters.refuse
        self._bus = bus
        self._topic = topic
        self._apply = apply
        self._dead_letters = dead_letters
        self._on_batch = on_batch
        self._on_poll = on_poll
        self.positions: dict[int, int] = {}

    async def follow(self, partitions: set[int], at_end: Callable[[], None]) -> None:
        """Read `partitions` until cancelled. `at_end` is called once, when all messages that existed at the start are applied."""
        topic_partitions = self._bus.topic_partitions(self._topic, sorted(partitions))
        async with self._bus.reader(topic_partitions, fetch_max_wait_ms=_FETCH_WAIT_MS) as reader:
            for partition in topic_partitions:
                if partition.partition in self.positions:
                    reader.seek(partition, self.positions[partition.partition])
            ends = await reader.end_offsets(topic_partitions)
            at_end_called = False
            while True:
                if not at_end_called and await reader.at_end(ends):
                    at_end_called = True
                    await self._record_positions(reader, ends)
                    at_end()
                messages = await reader.batch(_FETCH_WAIT_MS, _BATCH_RECORDS)
                await self._apply_batch(messages)
                observe_lag(self._bus, reader, messages)
                self._on_poll()

    def forget(self, partitions: set[int]) -> None:
        """Follow these partitions from the beginning the next time."""
        for partition in partitions:
            self.positions.pop(partition, None)

    async def _apply_batch(self, messages: list[Message]) -> None:
        for number, message in enumerate(messages, 1):
            try:
                self._apply(message)
            except PoisonError as error:
                await self._refuse(message, error)
            else:
                self._dead_letters.note_usable(message)
            self.positions[message.partition] = message.offset + 1
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        if messages:
            RECORDS.labels(SERVICE, self._topic).inc(len(messages))
            self._on_batch()

    async def _record_positions(self, reader: Reader, ends: Mapping[TopicPartition, int]) -> None:
        """Record the positions of partitions that end in transaction markers or are empty."""
        for partition in ends:
            self.positions[partition.partition] = await reader.position(partition)
