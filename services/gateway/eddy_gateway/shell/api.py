"""The HTTP API."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Body, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Discriminator, Field, Tag
from starlette.convertors import PathConvertor, register_url_convertor

from eddy.clock import Clock
from eddy.contract.limits import MAX_BATCH_EVENTS, MAX_EXCLUDED, MAX_ID_CHARS, MAX_OFFSET, MAX_QUERY_CHARS, MAX_SLATE
from eddy.contract.records import RecommendationRequest
from eddy.contract.refusals import raise_refusal
from eddy.errors import PoisonError, RetriableError
from eddy.runtime import Health
from eddy_gateway.core.models import (
    Accepted,
    AcceptedEvent,
    EventIn,
    Id,
    ItemIn,
    RecommendationsOut,
    StoredItem,
    at_most,
    chars,
    within,
)
from eddy_gateway.core.rules import Rules
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.door import Door, keys_of, rate_of
from eddy_gateway.shell.metering import Metering
from eddy_gateway.shell.pending_requests import PendingRequests
from eddy_gateway.shell.publisher import EventPublisher

OneOrMany = Annotated[
    Annotated[EventIn, Tag("event")] | Annotated[list[EventIn], Field(max_length=MAX_BATCH_EVENTS), Tag("batch")],
    Discriminator(lambda body: "batch" if isinstance(body, list) else "event"),
    Body(description="One event or a list of them."),
]
PathId = Annotated[str, chars(MAX_ID_CHARS, 1), Path()]
_UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    401: {"description": "No API key, or a wrong one."},
    413: {"description": "The body is too large."},
    429: {"description": "Too many requests: try again after Retry-After seconds."},
    503: {"description": "Not ready, or Kafka does not take it now: try again."},
}
_NO_ANSWER: dict[int | str, dict[str, Any]] = {504: {"description": "No scorer answered in time."}}


class _IdConvertor(PathConvertor):
    """An id in the path: with slashes, and with line breaks, which Starlette's `path` cuts off in silence."""

    regex = "(?s:.*)"


register_url_convertor("id", _IdConvertor())


@dataclass(frozen=True, slots=True)
class Gateway:
    """What the routes work with."""

    rules: Rules
    publisher: EventPublisher
    answers: PendingRequests
    clock: Clock
    settings: GatewaySettings

    async def store_events(self, events: list[EventIn]) -> Accepted:
        now_ms = self.clock.now_ms()
        with _naming_fields("body"):
            self.rules.batch(events, self.settings.gateway_max_batch)
        records = []
        for index, event in enumerate(events):
            with _naming_fields("body", index):
                records.append(self.rules.event(event, now_ms))
        offsets = await self.publisher.events(records)
        return Accepted(
            accepted=[
                AcceptedEvent(event_id=record["event_id"], offset=offset)
                for record, offset in zip(records, offsets, strict=True)
            ]
        )

    async def recommend(
        self,
        user_id: str,
        scenario: str,
        *,
        limit: int,
        query: str | None,
        exclude: list[str],
        after_offset: int | None,
    ) -> RecommendationsOut | None:
        """The scorer's answer; None when none came within deadline and grace. Gateway and scorer refuse the same requests with a 422."""
        now_ms = self.clock.now_ms()
        deadline_ms = round(self.settings.gateway_deadline_sec * 1000)
        asked: RecommendationRequest = {
            "request_id": uuid.uuid4().hex,
            "user_id": user_id,
            "scenario": scenario,
            "limit": limit,
            "query": query,
            "candidates": None,
            "exclude": exclude,
            "after_offset": after_offset,
            "deadline_at": now_ms + deadline_ms,
            "requested_at": now_ms,
        }
        with _naming_fields("query", path="user_id"):
            record = self.rules.request(asked, now_ms)
            with self.answers.expected(record["request_id"]) as answer:
                await self.publisher.request(record)
                try:
                    async with asyncio.timeout(self.settings.gateway_deadline_sec + self.settings.gateway_grace_sec):
                        answered = await answer
                except TimeoutError:
                    return None
            raise_refusal(answered)
            return RecommendationsOut.of(answered)

    async def store_item(self, item_id: str, item: ItemIn) -> StoredItem:
        with _naming_fields("body", path="item_id"):
            record = self.rules.item(item_id, item)
        await self.publisher.item(record)
        return StoredItem(item_id=item_id)


def build_app(gateway: Gateway, health: Health) -> FastAPI:
    """The application: the API under /v1, its page under /docs, and the health endpoints. Raises ConfigError for an open door."""
    app = FastAPI(title="Eddy", description="Events in, recommendations out.", version="1")
    keys, rate = keys_of(gateway.settings), rate_of(gateway.settings)
    app.add_middleware(Door, health=health, keys=keys, rate=rate, max_body=gateway.settings.gateway_max_body_bytes)
    app.add_middleware(Metering)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(RetriableError, _unavailable)
    app.router.routes.extend(health.routes())
    _add_routes(app, gateway)
    return app


def _add_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/events", status_code=202, responses=_UNAVAILABLE)
    async def post_events(body: OneOrMany) -> Accepted:
        """Store events. 202 means that Kafka has them on all in-sync replicas."""
        return await gateway.store_events(body if isinstance(body, list) else [body])

    @app.put("/v1/items/{item_id:id}", responses=_UNAVAILABLE)
    async def put_item(item_id: PathId, body: ItemIn) -> StoredItem:
        """Store an item, in place of what was known of it."""
        return await gateway.store_item(item_id, body)

    @app.get("/v1/recommendations/{user_id:id}", responses={**_UNAVAILABLE, **_NO_ANSWER})
    async def get_recommendations(
        user_id: PathId,
        scenario: Id,
        limit: Annotated[int, within(1, MAX_SLATE), Query()] = 10,
        query: Annotated[str, chars(MAX_QUERY_CHARS)] | None = None,
        after_offset: Annotated[
            Annotated[int, within(0, MAX_OFFSET)] | None,
            Query(description="Offset of an event that the list must know."),
        ] = None,
        exclude: Annotated[list[Id], at_most(MAX_EXCLUDED), Query()] = [],  # noqa: B006 - FastAPI copies it
    ) -> Any:
        """A list for the user, of the newest model, with what the user did up to `after_offset`."""
        answer = await gateway.recommend(
            user_id, scenario, limit=limit, query=query, exclude=exclude, after_offset=after_offset
        )
        return answer or _failure(
            504, "no scorer answered in time. Check that one runs, on the same Kafka and EDDY_TOPIC_PREFIX."
        )


@contextmanager
def _naming_fields(*where: str | int, path: str | None = None) -> Iterator[None]:
    """Turns PoisonError into a 422 that names the field, below `where`, or below "path" for the field that is part of the URL's path."""
    try:
        yield
    except PoisonError as error:
        raise _refusal(error.reason, error.detail, error.field, where, path) from error


def _refusal(
    reason: str, detail: str, field: str | None, where: tuple[str | int, ...], path: str | None
) -> RequestValidationError:
    loc = ("path",) if field is not None and field == path else where
    return RequestValidationError([{"loc": loc if field is None else (*loc, field), "type": reason, "msg": detail}])


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    """422 with each field that does not hold; what was sent is not echoed (it may not even be JSON: NaN)."""
    assert isinstance(error, RequestValidationError)
    shown = [{name: found[name] for name in ("loc", "type", "msg")} for found in error.errors()]
    return JSONResponse({"detail": shown}, 422)


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    return _failure(503, str(error))


def _failure(status: int, detail: str) -> JSONResponse:
    return JSONResponse({"detail": detail}, status)
