"""What the caller of a route may do: scopes by method, and the names of its tenant."""

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import Depends, HTTPException, Request

from eddy.metrics import REFUSED_REQUESTS
from eddy_gateway.core.keys import ANYBODY, Key, Scope
from eddy_gateway.shell.access import CALLER

_SCOPES: dict[str, Scope] = {"GET": "read", "HEAD": "read", "POST": "write", "PUT": "write", "PATCH": "write"}

_ADMIN = "/v1/users/"


def caller_of(request: Request) -> Key:
    """The key of the request; a dependency of routes whose body names users, items or scenarios."""
    key: Key = request.scope.get(CALLER, ANYBODY)
    return key


Caller = Annotated[Key, Depends(caller_of)]


async def authorise(request: Request) -> None:
    """Check the scope that the method needs, and the names in path and query. A dependency of every route.

    GET needs `read`; POST, PUT and PATCH need `write`; all other methods, and all that is known of a user, need `admin`. `requires` adds
    another scope. Raises HTTPException 403 for the scope, PoisonError for a name.
    """
    key = caller_of(request)
    _check_scope(key, "admin" if request.scope["path"].startswith(_ADMIN) else _SCOPES.get(request.method, "admin"))
    query = request.query_params
    for field in ("user_id", "item_id"):
        key.check_ids(field, [request.path_params.get(field)])
        key.check_ids(field, query.getlist(field))
    key.check_ids("exclude", query.getlist("exclude"))
    key.check_scenarios("scenario", query.getlist("scenario"))


def requires(scope: Scope) -> Callable[[Request], Awaitable[None]]:
    """A dependency for a route that needs more than its method does: `dependencies=[Depends(requires("admin"))]`."""

    async def check(request: Request) -> None:
        _check_scope(caller_of(request), scope)

    return check


def _check_scope(key: Key, scope: Scope) -> None:
    if not key.allows(scope):
        REFUSED_REQUESTS.labels(key.name, "scope").inc()
        scopes = ", ".join(sorted(key.scopes))
        raise HTTPException(403, f"The API key {key.name} has the scope {scopes}; this needs {scope}. Use another key.")
