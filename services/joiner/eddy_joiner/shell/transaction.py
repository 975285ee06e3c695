"""One transaction of a partition: its examples, its dead letters and how far it has read, all or nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

from eddy.clock import Clock
from eddy.contract.topics import TRAINING_EXAMPLES, USER_EVENTS
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, TransactionalProducer, settle
from eddy.kafka.dead_letters import DeadLetters
from eddy_joiner.core.examples import encode_example, user_of
from eddy_joiner.core.outcomes import ImpressionOutcome, Outcome, Refused
from eddy_joiner.core.rewind import Rewind


class Transactions:
    """Commits one partition. After any exception the producer and the state behind it must be discarded."""

    def __init__(
        self,
        bus: Bus,
        producer: TransactionalProducer,
        letters: DeadLetters,
        group: str,
        partition: int,
        clock: Clock,
    ) -> None:
        self._producer = producer
        self._letters = letters
        self._group = bus.full_name(group)
        self._partition = partition
        self._clock = clock
        self._source = bus.topic_partitions(USER_EVENTS, [partition])[0]

    async def commit(self, outcomes: Sequence[Outcome], position: int, rewind: Rewind) -> int | None:
        """Write outcomes and position as one; the place behind the last example, None when there was none."""
        await self._producer.begin()
        examples: list[asyncio.Future[Any]] = []
        letters: list[asyncio.Future[Any]] = []
        refused = [
            (outcome.message, PoisonError(outcome.reason, outcome.detail))
            for outcome in outcomes
            if isinstance(outcome, Refused)
        ]
        try:
            now = self._clock.now_ms()
            for outcome in outcomes:
                if not isinstance(outcome, ImpressionOutcome | Refused):
                    value = encode_example(outcome, now)
                    examples.append(
                        await self._producer.send(TRAINING_EXAMPLES, user_of(outcome), value, self._partition)
                    )
            for message, error in refused:
                letters.append(await self._letters.write(message, error))
        finally:
            # A transaction commits with a batch missing when nobody asks the batch. Asked before the offsets go: records that are sent
            # while the coordinator is busy with offsets are turned away and wait for a retry.
            written = await settle(examples)
            await settle(letters)
        offsets = {self._source: (position, rewind.encode())}
        await self._producer.send_offsets(offsets, self._group)
        await self._producer.commit()
        for message, error in refused:
            self._letters.count(message, error)
        return written[-1].offset + 1 if written else None

    async def abort(self) -> None:
        """End what is begun, if the producer still can; the next owner's producer ends it otherwise."""
        await self._producer.abort()
