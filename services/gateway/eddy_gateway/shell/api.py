"""The HTTP API."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, get_origin

from fastapi import Body, Depends, FastAPI, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import Discriminator, Field, Tag
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException as StarletteHTTPException

from eddy.clock import Clock
from eddy.contract.checks import quoted
from eddy.contract.limits import MAX_BATCH_EVENTS, MAX_EXCLUDED, MAX_ID_CHARS, MAX_OFFSET, MAX_QUERY_CHARS, MAX_SLATE
from eddy.contract.pseudonym import pseudonym
from eddy.contract.records import Item, RecommendationRequest, UserEvent
from eddy.contract.refusals import raise_refusal
from eddy.errors import PoisonError, RetriableError
from eddy.runtime import Health
from eddy_gateway.core.keys import ANYBODY, OTHER_TENANT, Key
from eddy_gateway.core.models import (
    Accepted,
    AcceptedEvent,
    ErasedUser,
    EventIn,
    Id,
    ItemIn,
    ItemOut,
    ItemPatch,
    RecommendationsOut,
    StoredItem,
    UserOut,
    chars,
    max_entries,
    number,
)
from eddy_gateway.core.rules import Rules
from eddy_gateway.reference import add_reference
from eddy_gateway.settings import GatewaySettings
from eddy_gateway.shell.access import Access, AccessMiddleware, configured_rate
from eddy_gateway.shell.authorisation import Caller, authorise, caller_of
from eddy_gateway.shell.headers import HEADERS, SecurityHeaders
from eddy_gateway.shell.item_changes import ItemChanges
from eddy_gateway.shell.key_store import KeyStore
from eddy_gateway.shell.load import LoadControl
from eddy_gateway.shell.metering import Metering
from eddy_gateway.shell.pending_requests import PendingRequests
from eddy_gateway.shell.publisher import EventPublisher
from eddy_gateway.shell.refusals import RETRY_SEC, refuse
from eddy_gateway.shell.shedding import Shedding
from eddy_gateway.shell.user_records import UserRecords

OneOrMany = Annotated[
    Annotated[EventIn, Tag("event")] | Annotated[list[EventIn], Field(max_length=MAX_BATCH_EVENTS), Tag("batch")],
    Discriminator(lambda body: "batch" if isinstance(body, list) else "event"),
    Body(description="One event or a list of them."),
]
PathId = Annotated[str, chars(MAX_ID_CHARS, 1), Path()]
_UNAVAILABLE: dict[int | str, dict[str, Any]] = {
    401: {"description": "No API key, or a wrong one."},
    403: {"description": "The API key lacks the scope, or the name is not of its tenant."},
    413: {"description": "The body is too large."},
    415: {"description": "The media type of the body is not accepted."},
    429: {"description": "Too many requests: try again after Retry-After seconds."},
    503: {"description": "Not ready, or Kafka does not accept writes: try again."},
}
_UNKNOWN_ITEM: dict[int | str, dict[str, Any]] = {404: {"description": "The item was never stored, or it was deleted."}}
_UNKNOWN_USER: dict[int | str, dict[str, Any]] = {404: {"description": "Nothing is known of the user."}}
_JSON, _MERGE_PATCH = "application/json", "application/merge-patch+json"
_NO_ANSWER: dict[int | str, dict[str, Any]] = {504: {"description": "No scorer answered in time."}}


class _IdConvertor(PathConvertor):
    """An id in the path. It may contain slashes and line breaks; Starlette's `path` silently cuts ids at line breaks."""

    regex = "(?s:.*)"


register_url_convertor("id", _IdConvertor())


@dataclass(frozen=True, slots=True)
class Gateway:
    """The operations of the API and the parts they need."""

    rules: Rules
    publisher: EventPublisher
    item_changes: ItemChanges
    pending: PendingRequests
    clock: Clock
    settings: GatewaySettings
    users: UserRecords

    def alias(self, user_id: str) -> str:
        """The id under which a user is stored: a pseudonym, if the settings have a key."""
        key = self.settings.pseudonym_key.get_secret_value()
        return pseudonym(user_id, key) if key else user_id

    async def store_events(self, events: list[EventIn], caller: Key = ANYBODY) -> Accepted:
        """Check and publish events. Raises RequestValidationError, and RetriableError when Kafka does not accept them."""
        now_ms = self.clock.now_ms()
        with _naming_fields("body"):
            self.rules.batch(events, self.settings.gateway_max_batch)
        records: list[UserEvent] = []
        for index, event in enumerate(events):
            with _naming_fields("body", index):
                caller.check_ids("user_id", [event.user_id])
                caller.check_ids("item_id", [event.item_id])
                caller.check_scenarios("scenario", [event.scenario])
                record = self.rules.event(event, now_ms)
                records.append({**record, "user_id": self.alias(event.user_id)})
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
        """The scorer's answer; None if there was none within deadline and grace period.

        Raises RequestValidationError for a request that gateway or scorer refuses.
        """
        now_ms = self.clock.now_ms()
        deadline_ms = round(self.settings.gateway_deadline_sec * 1000)
        request: RecommendationRequest = {
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
            record = self.rules.request(request, now_ms)
            record["user_id"] = self.alias(user_id)
            with self.pending.expect(record["request_id"]) as future:
                await self.publisher.request(record)
                try:
                    async with asyncio.timeout(self.settings.gateway_deadline_sec + self.settings.gateway_grace_sec):
                        answer = await future
                except TimeoutError:
                    return None
            raise_refusal(answer)
            return RecommendationsOut.of({**answer, "user_id": user_id})

    async def store_item(self, item_id: str, item: ItemIn, caller: Key = ANYBODY) -> StoredItem:
        """Check and publish an item. Raises RequestValidationError, and RetriableError when Kafka does not accept it."""
        with _naming_fields("body", path="item_id"):
            caller.check_item_scenarios(item.scenarios)
            record = self.rules.item(item_id, item)
        await self.publisher.item(record)
        return StoredItem(item_id=item_id)

    async def change_item(self, item_id: str, patch: ItemPatch, caller: Key = ANYBODY) -> Item | None:
        """Change fields of a stored item; None for an unknown one. Raises RequestValidationError, and RetriableError as `store_item`."""
        with _naming_fields("body", path="item_id"):
            self.rules.item_id(item_id)
            if "scenarios" in patch.model_fields_set:
                caller.check_item_scenarios(patch.scenarios or [])
            return await self.item_changes.apply(item_id, patch)

    async def erase_item(self, item_id: str) -> StoredItem:
        """Erase an item. Raises RequestValidationError, and RetriableError when Kafka does not accept it."""
        with _naming_fields("path", path="item_id"):
            self.rules.item_id(item_id)
        scenarios = await self.item_changes.scenarios_of(item_id)
        await self.publisher.erase_item(item_id, self.clock.now_ms(), scenarios)
        return StoredItem(item_id=item_id)

    async def erase_user(self, user_id: str) -> ErasedUser:
        """Erase a user. Raises RequestValidationError, and RetriableError when Kafka does not accept it."""
        with _naming_fields("path", path="user_id"):
            self.rules.user_id(user_id)
        await self.publisher.erase_user(self.alias(user_id), self.clock.now_ms())
        return ErasedUser(user_id=user_id)

    async def find_user(self, user_id: str) -> UserOut | None:
        """Everything that is known of a user; None if nothing is. Raises RequestValidationError, and RetriableError."""
        with _naming_fields("path", path="user_id"):
            self.rules.user_id(user_id)
        record = await self.users.find(self.alias(user_id))
        return None if record is None else UserOut.of(record, user_id)


def build_app(gateway: Gateway, health: Health, keys: KeyStore | None = None) -> FastAPI:
    """Build the application: the API under /v1, its reference under /docs, and the health endpoints.

    `keys` are those of the settings, unless the caller has them already. Raises ConfigError for unusable keys, for a public address without
    keys, and for an invalid rate limit.
    """
    app = FastAPI(
        title="Eddy",
        description="Events in, recommendations out.",
        version="1",
        docs_url=None,
        redoc_url=None,
        dependencies=[Depends(authorise), Depends(_refuse_wrong_media_type), Depends(_refuse_wrong_parameters)],
    )
    settings = gateway.settings
    load = LoadControl(settings)
    app.state.access = Access(settings, keys or KeyStore(settings))
    app.state.shedding = Shedding(app.state.access, load, bool(settings.gateway_trusted_proxies))
    app.add_middleware(
        AccessMiddleware,
        health=health,
        access=app.state.access,
        load=load,
        rate=configured_rate(settings),
        max_body_bytes=settings.gateway_max_body_bytes,
    )
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Metering)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(PoisonError, _other_tenant)
    app.add_exception_handler(RetriableError, _unavailable)
    app.add_exception_handler(StarletteHTTPException, _http_error)
    app.add_exception_handler(Exception, _unforeseen)
    app.router.routes.extend(health.routes())
    add_reference(app)
    _add_routes(app, gateway)
    return app


def _add_routes(app: FastAPI, gateway: Gateway) -> None:
    @app.post("/v1/events", status_code=202, responses=_UNAVAILABLE)
    async def post_events(body: OneOrMany, caller: Caller) -> Accepted:
        """Store events. 202 means that Kafka has them on all in-sync replicas."""
        return await gateway.store_events(body if isinstance(body, list) else [body], caller)

    @app.put("/v1/items/{item_id:id}", responses=_UNAVAILABLE)
    async def put_item(item_id: PathId, body: ItemIn, caller: Caller) -> StoredItem:
        """Store an item. It replaces a former version as a whole: omitted fields get their defaults."""
        return await gateway.store_item(item_id, body, caller)

    @app.patch("/v1/items/{item_id:id}", responses={**_UNAVAILABLE, **_UNKNOWN_ITEM}, response_model=ItemOut)
    async def patch_item(item_id: PathId, body: ItemPatch, caller: Caller) -> Any:
        """Change the named fields of a stored item. Simultaneous changes of an item are applied one after the other: none is lost."""
        item = await gateway.change_item(item_id, body, caller)
        return item or _failure(404, f"no item {quoted(item_id)} is stored. PUT it first.")

    @app.delete("/v1/items/{item_id:id}", status_code=202, responses=_UNAVAILABLE)
    async def delete_item(item_id: PathId) -> StoredItem:
        """Erase an item with its counts, until it is stored again. It is in no recommendations within seconds."""
        return await gateway.erase_item(item_id)

    @app.get("/v1/users/{user_id:id}", responses={**_UNAVAILABLE, **_UNKNOWN_USER}, response_model=UserOut)
    async def get_user(user_id: PathId) -> Any:
        """Everything that is known of a user. It is searched for in Kafka, which takes seconds with millions of users."""
        return await gateway.find_user(user_id) or _failure(404, f"nothing is known of user {quoted(user_id)}.")

    @app.delete("/v1/users/{user_id:id}", status_code=202, responses=_UNAVAILABLE)
    async def delete_user(user_id: PathId) -> ErasedUser:
        """Erase a user: everything that was stored before is forgotten within seconds. An event sent after the answer begins a new user."""
        return await gateway.erase_user(user_id)

    @app.get("/v1/recommendations/{user_id:id}", responses={**_UNAVAILABLE, **_NO_ANSWER})
    async def get_recommendations(
        user_id: PathId,
        scenario: Id,
        limit: Annotated[int, number(1, MAX_SLATE), Query()] = 10,
        query: Annotated[str, chars(MAX_QUERY_CHARS)] | None = None,
        after_offset: Annotated[
            Annotated[int, number(0, MAX_OFFSET)] | None,
            Query(description="Offset of an event that the recommendations must take into account."),
        ] = None,
        exclude: Annotated[list[Id], max_entries(MAX_EXCLUDED), Query()] = [],  # noqa: B006 - FastAPI copies it
    ) -> Any:
        """Recommendations for the user by the newest model, including the user's events up to `after_offset`."""
        answer = await gateway.recommend(
            user_id, scenario, limit=limit, query=query, exclude=exclude, after_offset=after_offset
        )
        return answer or _failure(
            504, "no scorer answered in time. Check that one runs, on the same Kafka and EDDY_TOPIC_PREFIX."
        )


async def _refuse_wrong_parameters(request: Request) -> None:
    """Raise RequestValidationError for query parameters that the route does not have, since a misspelt filter would return everything, and
    for one that is given several times but has one value."""
    route = request.scope["route"]
    if not route.include_in_schema:  # the console, whose page keeps its state in the URL
        return
    lists = {
        parameter.alias: get_origin(parameter.field_info.annotation) is list
        for parameter in route.dependant.query_params
    }
    supported = f"Supported: {', '.join(lists)}." if lists else "This route has none."
    problems = []
    for name, count in Counter(name for name, _ in request.query_params.multi_items()).items():
        if name not in lists:
            problems.append(("unknown_parameter", name, f"unknown query parameter {quoted(name)}. {supported}"))
        elif count > 1 and not lists[name]:
            problems.append(("repeated_parameter", name, f"{name} is given {count} times. Give one value."))
    if problems:
        raise RequestValidationError(
            [{"loc": ("query", name), "type": reason, "msg": message} for reason, name, message in problems]
        )


async def _refuse_wrong_media_type(request: Request) -> None:
    """Raise HTTPException 415 for a body of a type that the route does not read. FastAPI would read every `+json` type as if it were JSON,
    also one with a meaning of its own, like a JSON Patch."""
    if request.scope["route"].body_field is None:
        return
    accepted = (_JSON, _MERGE_PATCH) if request.method == "PATCH" else (_JSON,)
    sent = request.headers.get("content-type", "")
    if sent.partition(";")[0].strip().lower() not in accepted:
        what = f"Content-Type {quoted(sent)} is not accepted here." if sent else "Content-Type is missing."
        detail = f"{what} Send {' or '.join(accepted)}."
        if sent.lower().startswith("application/json-patch+json"):
            detail += " The body then contains the changed fields, not a list of operations."
        raise StarletteHTTPException(
            415, detail, {"Accept-Patch" if request.method == "PATCH" else "Accept": ", ".join(accepted)}
        )


@contextmanager
def _naming_fields(*where: str | int, path: str | None = None) -> Iterator[None]:
    """Turn PoisonError into a 422 that names its field below `where`, or below "path" if it is the field `path` of the URL."""
    try:
        yield
    except PoisonError as error:
        raise _refusal(error.reason, error.detail, error.field, where, path) from error


def _refusal(
    reason: str, detail: str, field: str | None, where: tuple[str | int, ...], path: str | None
) -> RequestValidationError:
    loc = ("path",) if field is not None and field == path else where
    return RequestValidationError([{"loc": loc if field is None else (*loc, field), "type": reason, "msg": detail}])


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """422 with each invalid field, 403 for one of another tenant. Its value is not repeated: it may be no JSON (NaN)."""
    assert isinstance(error, RequestValidationError)
    details = [{name: problem[name] for name in ("loc", "type", "msg")} for problem in error.errors()]
    if any(problem["type"] == OTHER_TENANT for problem in details):
        return refuse(403, OTHER_TENANT, details, key=caller_of(request).name)
    return JSONResponse({"detail": details}, 422)


async def _other_tenant(request: Request, error: Exception) -> JSONResponse:
    """403 for a name in path or query that is not of the caller's tenant."""
    assert isinstance(error, PoisonError)
    where = "path" if error.field in request.path_params else "query"
    detail = [{"loc": (where, error.field), "type": error.reason, "msg": error.detail}]
    return refuse(403, error.reason, detail, key=caller_of(request).name)


async def _unavailable(_: Request, error: Exception) -> JSONResponse:
    return _failure(503, str(error))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    """The errors of routing and parsing, with what to do."""
    assert isinstance(error, StarletteHTTPException)
    detail = error.detail
    if error.status_code == 404:
        detail = f"no route {quoted(request.url.path)}. /docs lists all."
    elif error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "")
        detail = (
            f"{request.method} is not allowed for {quoted(request.url.path)}. Use {allowed}; /docs lists all routes."
        )
    return JSONResponse({"detail": detail}, error.status_code, error.headers)


async def _unforeseen(_: Request, __: Exception) -> JSONResponse:
    """500 for a defect. The traceback is in the log. It is made outside of all middleware."""
    return JSONResponse(
        {"detail": "This is a defect of the gateway. Its operator finds the cause in its log."}, 500, HEADERS
    )


def _failure(status: int, detail: str) -> JSONResponse:
    headers = {"Retry-After": str(RETRY_SEC)} if status >= 500 else None
    return JSONResponse({"detail": detail}, status, headers)
