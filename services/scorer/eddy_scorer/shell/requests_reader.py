"""Reads recommendation-requests as a member of the consumer group, and commits them once answered."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from eddy.clock import Clock
from eddy.contract.checks import PartitionOf, check_partition
from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.records import Recommendations
from eddy.contract.refusals import refusal_of
from eddy.contract.requests import RequestContract, allowance_ms
from eddy.contract.scenarios import Scenarios
from eddy.contract.topics import RECOMMENDATION_REQUESTS
from eddy.errors import DecodeError, PoisonError
from eddy.kafka.bus import Bus, Member, settle
from eddy.kafka.dead_letters import DeadLetters
from eddy.kafka.group import GroupMember, Membership
from eddy.metrics import DROPPED_REQUESTS, RECORDS
from eddy_scorer.core.ranking.request import request_of
from eddy_scorer.shell.lag import observe_lag
from eddy_scorer.shell.request_ledger import RequestLedger
from eddy_scorer.shell.request_queue import QueuedRequest, RequestQueue
from eddy_scorer.shell.service import SERVICE
from eddy_scorer.shell.user_partitions import UserPartitions

_BATCH_RECORDS = 500
_POLL_MS = 200
# Minimum interval of commits. A crash repeats the answers since the last one.
_COMMIT_SEC = 0.1


class RequestDecoder:
    """Decodes and checks requests. `decode` raises PoisonError for an unusable request. `clock` is the broker's."""

    def __init__(
        self, scenarios: Scenarios, clock: Clock, max_wait_ms: int, partition_of: PartitionOf | None = None
    ) -> None:
        self._contract = RequestContract(scenarios)
        self._partition_of = partition_of
        self._clock = clock
        self._max_wait_ms = max_wait_ms
        self._codec = Codec.for_topic(RECOMMENDATION_REQUESTS)

    def decode(self, message: Message) -> QueuedRequest:
        record = self._codec.decode(message.value)
        self._contract.check(record, message.key, message.timestamp_ms)
        check_partition(message, self._partition_of)
        allowance = allowance_ms(record)
        deadline = None if allowance is None else message.timestamp_ms + allowance
        return QueuedRequest(
            request=request_of(record),
            partition=message.partition,
            offset=message.offset,
            arrived_at=message.timestamp_ms,
            after_offset=record["after_offset"],
            answer_by=self._clock.now_ms() + self._max_wait_ms if deadline is None else deadline,
            useless_after=deadline,
        )

    def refusal(self, message: Message, error: PoisonError) -> Recommendations | None:
        """The answer to a request that `decode` refused with `error`; None if it cannot be decoded or has no id."""
        try:
            return refusal_of(self._codec.decode(message.value), error, self._clock.now_ms())
        except DecodeError:
            return None


class RequestsReader:
    """Reads the requests of the assigned partitions (eddy.kafka.group.PartitionWork), and commits below the oldest unanswered one.

    `finish` waits for the acknowledgement of all sent slates; it is called before partitions are released. `answer` sends a refusal.
    """

    def __init__(
        self,
        bus: Bus,
        membership: Membership,
        decoder: RequestDecoder,
        queue: RequestQueue,
        users: UserPartitions,
        dead_letters: DeadLetters,
        wake: Callable[[], None],
        finish: Callable[[], Awaitable[None]],
        answer: Callable[[Recommendations], Awaitable["asyncio.Future[Any]"]],
    ) -> None:
        self._bus = bus
        self._group = GroupMember(bus, membership, self)
        self._decoder = decoder
        self._queue = queue
        self._users = users
        self._dead_letters = dead_letters
        self._wake = wake
        self._finish = finish
        self._answer = answer
        self._progress = asyncio.Event()
        self._revocations = 0
        self.ledger = RequestLedger()
        self.joined = False

    async def run(self) -> None:
        """Read until cancelled."""
        await self._group.run()

    async def poll(self, member: Member) -> None:
        """Read the next messages, once the queue has room."""
        await self._queue.has_room.wait()
        messages = await member.batch(_POLL_MS, _BATCH_RECORDS)
        await self._queue_all(messages)
        observe_lag(self._bus, member, messages)

    async def commit_loop(self) -> None:
        """Commit answered requests until cancelled."""
        while True:
            await self._progress.wait()
            self._progress.clear()
            await self._commit()
            await asyncio.sleep(_COMMIT_SEC)

    def done(self, requests: Iterable[QueuedRequest]) -> None:
        """Mark requests as answered: their slates are published."""
        for request in requests:
            if request.partition >= 0:
                self.ledger.done(request.partition, request.offset)
        self._progress.set()

    def drop_useless(self, now: int, keep_newest: bool) -> None:
        """Drop requests whose deadline has passed: their callers have gone, and ranking them would make others late."""
        dropped = self._queue.drop_useless(now, keep_newest)
        if dropped:
            DROPPED_REQUESTS.inc(len(dropped))
            self.done(dropped)

    async def revoke(self, partitions: set[int]) -> None:
        """Drop the requests of revoked partitions, and wait for those that are being published."""
        self._revocations += 1
        self._queue.drop_partitions(partitions)
        await self._finish()
        await self._commit()
        self.ledger.drop_partitions(partitions)

    async def assign(self, partitions: set[int]) -> None:
        """Answer the requests of these partitions, each partition once its users are loaded."""
        self._users.assign(partitions)
        for partition in sorted(partitions & self._users.loaded):
            self._queue.partition_loaded(partition)
        self.joined = True

    async def _queue_all(self, messages: list[Message]) -> None:
        revocations = self._revocations
        for message in messages:
            if self._revocations != revocations:
                return  # revoked during a refusal: the new owner of the partition reads the remaining messages again
            self.ledger.add(message.partition, message.offset)
            try:
                queued = self._decoder.decode(message)
            except PoisonError as error:
                await self._refuse(message, error)
            else:
                self._dead_letters.note_usable(message)
                self._queue.add(queued)
        if messages:
            RECORDS.labels(SERVICE, RECOMMENDATION_REQUESTS).inc(len(messages))
            self._wake()

    async def _refuse(self, message: Message, error: PoisonError) -> None:
        """Send the caller a refusal with the reason, and the request to the dead letters."""
        refusal = self._decoder.refusal(message, error)
        sent = [] if refusal is None else [await self._answer(refusal)]
        sent.append(await self._dead_letters.refuse(message, error))
        await settle(sent)
        self.ledger.done(message.partition, message.offset)
        self._progress.set()

    async def _commit(self) -> None:
        offsets = self.ledger.committable()
        # If the group rejects the commit, the next owner answers the uncommitted requests again.
        if offsets and await self._group.commit(offsets):
            self.ledger.committed(offsets)
