"""Follows topics from the beginning into the state, for as long as it runs."""

import asyncio
from collections.abc import Callable, Mapping

from eddy.contract.message import Message, TopicPartition
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, Reader
from eddy.kafka.dead_letters import DeadLetters
from eddy.metrics import RECORDS
from eddy_scorer.shell.lag import observe_lag
from eddy_scorer.shell.service import SERVICE

# Idle readers ask again this often; a record that arrives is handed over at once.
_FETCH_WAIT_MS = 500
_BATCH_RECORDS = 500
# Records applied before others get their turn on the event loop.
_SLICE = 32


class Follower:
    """Reads partitions of one topic and applies each message; what cannot be used is refused and passed over.

    `positions` are next offsets, by partition; they survive `follow`, which goes on where it was. `on_batch` is called when a
    batch was applied, `on_turn` after every look, also when there was nothing.
    """

    def __init__(
        self,
        bus: Bus,
        topic: str,
        apply: Callable[[Message], None],
        dead_letters: DeadLetters,
        on_batch: Callable[[], None] = lambda: None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._bus = bus
        self._topic = topic
        self._apply = apply
        self._dead_letters = dead_letters
        self._on_batch = on_batch
        self._on_turn = on_turn
        self.positions: dict[int, int] = {}

    async def follow(self, partitions: set[int], at_end: Callable[[], None]) -> None:
        """Read `partitions` until cancelled; `at_end` is called once when all that was there at the start is applied."""
        chosen = self._bus.topic_partitions(self._topic, sorted(partitions))
        async with self._bus.reader(chosen, fetch_max_wait_ms=_FETCH_WAIT_MS) as reader:
            for partition in chosen:
                if partition.partition in self.positions:
                    reader.seek(partition, self.positions[partition.partition])
            ends = await reader.end_offsets(chosen)
            reached = False
            while True:
                if not reached and await reader.at_end(ends):
                    reached = True
                    await self._note(reader, ends)
                    at_end()
                messages = await reader.batch(_FETCH_WAIT_MS, _BATCH_RECORDS)
                await self._take(messages)
                observe_lag(self._bus, reader, messages)
                self._on_turn()

    def forget(self, partitions: set[int]) -> None:
        """Start from the beginning the next time these are followed."""
        for partition in partitions:
            self.positions.pop(partition, None)

    async def _take(self, messages: list[Message]) -> None:
        for number, message in enumerate(messages, 1):
            try:
                self._apply(message)
            except PoisonError as error:
                await self._dead_letters.refuse(message, error)
            else:
                self._dead_letters.note_usable(message)
            self.positions[message.partition] = message.offset + 1
            if number % _SLICE == 0:
                await asyncio.sleep(0)
        if messages:
            RECORDS.labels(SERVICE, self._topic).inc(len(messages))
            self._on_batch()

    async def _note(self, reader: Reader, ends: Mapping[TopicPartition, int]) -> None:
        """Positions of partitions that end in something else than records."""
        for partition in ends:
            self.positions[partition.partition] = await reader.position(partition)
