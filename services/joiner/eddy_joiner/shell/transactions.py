"""The transactions of a partition. Each contains the examples and dead letters of a batch, and the position after it."""

import asyncio
from collections.abc import Sequence
from typing import Any

from eddy.clock import Clock
from eddy.contract.topics import TRAINING_EXAMPLES, USER_EVENTS
from eddy.errors import PoisonError
from eddy.kafka.bus import Bus, TransactionalProducer, settle
from eddy.kafka.dead_letters import DeadLetters
from eddy_joiner.core.examples import encode_example, user_of
from eddy_joiner.core.outcomes import Erased, ImpressionOutcome, Outcome, Refused
from eddy_joiner.core.restart_point import RestartPoint


class Transactions:
    """Commits the outcomes of one partition. After any exception, discard the producer and the state that the outcomes came from."""

    def __init__(
        self,
        bus: Bus,
        producer: TransactionalProducer,
        dead_letters: DeadLetters,
        group: str,
        partition: int,
        clock: Clock,
    ) -> None:
        self._producer = producer
        self._dead_letters = dead_letters
        self._group = bus.full_name(group)
        self._partition = partition
        self._clock = clock
        self._events_partition = bus.topic_partitions(USER_EVENTS, [partition])[0]

    async def commit(self, outcomes: Sequence[Outcome], position: int, restart_point: RestartPoint) -> int | None:
        """Commit outcomes and position in one transaction. Returns the offset after the last example, None if there was none."""
        await self._producer.begin()
        examples: list[asyncio.Future[Any]] = []
        dead_letters: list[asyncio.Future[Any]] = []
        refusals = [
            (outcome.message, PoisonError(outcome.reason, outcome.detail))
            for outcome in outcomes
            if isinstance(outcome, Refused)
        ]
        try:
            now = self._clock.now_ms()
            for outcome in outcomes:
                if isinstance(outcome, Erased):
                    examples.append(
                        await self._producer.send(TRAINING_EXAMPLES, outcome.user_id, None, self._partition)
                    )
                elif not isinstance(outcome, ImpressionOutcome | Refused):
                    value = encode_example(outcome, now)
                    examples.append(
                        await self._producer.send(TRAINING_EXAMPLES, user_of(outcome), value, self._partition)
                    )
            for message, error in refusals:
                dead_letters.append(await self._dead_letters.write(message, error))
        finally:
            # aiokafka commits a transaction although a batch of it failed: only the batch's own future raises. Settle before sending
            # offsets: the coordinator rejects records sent while it is busy with offsets, and they wait for a retry.
            stored = await settle(examples)
            await settle(dead_letters)
        offsets = {self._events_partition: (position, restart_point.encode())}
        await self._producer.send_offsets(offsets, self._group)
        await self._producer.commit()
        for message, error in refusals:
            self._dead_letters.count(message, error)
        return stored[-1].offset + 1 if stored else None

    async def abort(self) -> None:
        """Abort the open transaction, if the producer still can; otherwise the next owner's producer aborts it."""
        await self._producer.abort()
