"""Hands each answer on `recommendations` to the HTTP request that waits for it."""

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
    """Waiting requests by request id. One consumer without a group serves them all, so every gateway reads every slate."""

    def __init__(self) -> None:
        self._futures: dict[str, asyncio.Future[Recommendations]] = {}
        self._ids = PrefixDecoder(Recommendations, last="request_id")
        self._codec = Codec.of(Recommendations)

    @contextmanager
    def expect(self, request_id: str) -> Iterator["asyncio.Future[Recommendations]"]:
        """The future answer to a request; enter the context before you publish the request."""
        future = asyncio.get_running_loop().create_future()
        self._futures[request_id] = future
        try:
            yield future
        finally:
            del self._futures[request_id]

    async def run(self, reader: Reader, health: Health) -> None:
        """Read the topic from its current end, until cancelled."""
        await reader.seek_to_end()
        health.ready = True
        while True:
            messages = await reader.batch()
            health.beat()
            RECORDS.labels(SERVICE, RECOMMENDATIONS).inc(len(messages))
            for message in messages:
                self.resolve(message)

    def resolve(self, message: Message) -> None:
        """Hand a slate to its waiting request. For slates of other gateways only the first field is decoded."""
        try:
            future = self._futures.get(self._ids.decode(message.value)["request_id"])
            if future is not None and not future.done():
                future.set_result(self._codec.decode(message.value))
        except DecodeError as error:
            # Not dead-lettered here: the joiner reads the same record and does so.
            log.warning("slate_skipped", partition=message.partition, offset=message.offset, detail=error.detail)
