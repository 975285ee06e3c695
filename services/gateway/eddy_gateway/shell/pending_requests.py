"""Brings each answer on `recommendations` to the HTTP request that waits for it."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.prefix import PrefixDecoder
from eddy.contract.records import Recommendations
from eddy.contract.topics import RECOMMENDATIONS
from eddy.errors import DecodeError
from eddy.kafka.bus import Reader
from eddy.metrics import RECORDS
from eddy.runtime import Health

log = structlog.get_logger()

SERVICE = "gateway"


class PendingRequests:
    """Requests that wait, by request id. One consumer without a group serves them all: every gateway sees every list."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[Recommendations]] = {}
        self._ids = PrefixDecoder(Recommendations, last="request_id")
        self._codec = Codec.of(Recommendations)

    @contextmanager
    def expected(self, request_id: str) -> Iterator["asyncio.Future[Recommendations]"]:
        """The future answer to a request; expect it before the request is published."""
        future = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = future
        try:
            yield future
        finally:
            del self._waiting[request_id]

    async def run(self, reader: Reader, health: Health) -> None:
        """Read what comes from now on, until cancelled."""
        await reader.seek_to_end()
        health.ready = True
        while True:
            messages = await reader.batch()
            health.beat()
            RECORDS.labels(SERVICE, RECOMMENDATIONS).inc(len(messages))
            for message in messages:
                self.take(message)

    def take(self, message: Message) -> None:
        """Hand a list to the request that waits for it. Lists of others are told by their first field alone."""
        try:
            future = self._waiting.get(self._ids.decode(message.value)["request_id"])
            if future is not None and not future.done():
                future.set_result(self._codec.decode(message.value))
        except DecodeError as error:
            # The joiner, which owns the fate of lists, reads the same record and writes it to dead-letters.
            log.warning("slate_refused", partition=message.partition, offset=message.offset, detail=error.detail)
