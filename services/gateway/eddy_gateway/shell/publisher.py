"""Publishes to Kafka the content of HTTP requests, and returns once Kafka has stored it."""

import asyncio
from collections.abc import Sequence

import structlog

from eddy.contract.codec import Codec, R
from eddy.contract.erasure import ITEM, USER, Kind
from eddy.contract.records import Erasure, Item, RecommendationRequest, UserEvent
from eddy.contract.topics import ERASURES, ITEMS, RECOMMENDATION_REQUESTS, USER_EVENTS, TopicName, topics
from eddy.errors import RetriableError
from eddy.kafka.bus import KafkaError, Producer, settle
from eddy.kafka.permissions import PERMISSION_ERRORS, describe_denial

log = structlog.get_logger()


class EventPublisher:
    """Publishes events, items and requests. Each call waits for all in-sync replicas, at most `timeout_sec`.

    Raises RetriableError if Kafka does not acknowledge all records in time.
    """

    def __init__(self, producer: Producer, timeout_sec: float) -> None:
        self._producer = producer
        self._timeout_sec = timeout_sec

    async def events(self, records: Sequence[UserEvent]) -> list[int]:
        """Publish user events in this order; returns the offset of each in its partition of user-events."""
        return await self._publish(USER_EVENTS, records)

    async def item(self, record: Item) -> None:
        """Publish an item."""
        await self._publish(ITEMS, [record])

    async def request(self, record: RecommendationRequest) -> None:
        """Publish a request for recommendations."""
        await self._publish(RECOMMENDATION_REQUESTS, [record])

    async def erase_user(self, user_id: str, now_ms: int) -> None:
        """Erase a user: all events before this one in the user's partition. Then tell others."""
        await self._erase(USER_EVENTS, USER, user_id, now_ms)

    async def erase_item(self, item_id: str, now_ms: int, scenarios: Sequence[str] | None) -> None:
        """Erase an item of these scenarios (none: all; None: unknown), then tell others."""
        await self._erase(ITEMS, ITEM, item_id, now_ms, scenarios)

    async def _erase(
        self, topic: str, kind: Kind, name: str, now_ms: int, scenarios: Sequence[str] | None = None
    ) -> None:
        (offset,) = await self._write(topic, [(name, None)], scenarios)
        notice: Erasure = {"id": name, "kind": kind, "requested_at": now_ms, "erased_offset": offset}
        await self._publish(ERASURES, [notice])

    async def _publish(self, topic: TopicName[R], records: Sequence[R]) -> list[int]:
        codec, key = Codec.for_topic(topic), topics()[topic].key
        return await self._write(topic, [(record[key], codec.encode(record)) for record in records])

    async def _write(
        self, topic: str, records: Sequence[tuple[str, bytes | None]], scenarios: Sequence[str] | None = None
    ) -> list[int]:
        """Write keys and values, and return their offsets."""
        try:
            async with asyncio.timeout(self._timeout_sec):
                sent = [await self._producer.send(topic, key, value, scenarios=scenarios) for key, value in records]
                return [stored.offset for stored in await settle(sent)]
        except PERMISSION_ERRORS as error:
            log.error("write_denied", reason=describe_denial(error))
            raise RetriableError(
                "Kafka denies the write. Ask the operator of this service to look at its log."
            ) from error
        except (KafkaError, TimeoutError) as error:
            reason = str(error) or f"no acknowledgement within {self._timeout_sec:g} s"
            partly = " Some may be stored: send all again with the same ids." if len(records) > 1 else ""
            raise RetriableError(f"Kafka did not accept the write: {reason}. Try again.{partly}") from error
