"""The one place that speaks to a schema registry (Confluent's API). Its client takes seconds to import: only with a registry set."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from schema_registry.client import AsyncSchemaRegistryClient
from schema_registry.client.errors import ClientError
from schema_registry.client.schema import AvroSchema

from eddy.errors import FatalError

TRIES_EVERY_SEC = 0.5
PATIENCE_SEC = 30.0

T = TypeVar("T")


class Registry:
    """Asks a registry; one that does not answer, or whatever stands before it, is asked again for PATIENCE_SEC.

    Every method raises FatalError when the registry does not answer, or refuses.
    """

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).hostname
        self._client = AsyncSchemaRegistryClient(url, timeout=httpx.Timeout(5.0))
        # One for all requests: each would make its own, a tenth of a second in which nothing else happens.
        self._client.client_kwargs["verify"] = httpx.create_ssl_context()

    async def register(self, subject: str, schema: str) -> int:
        """The number of a schema, given as JSON; it is registered for `subject` if it is new."""
        try:
            return int(await self._patiently(lambda: self._client.register(subject, AvroSchema(schema))))
        except ClientError as error:
            raise FatalError(
                f"the schema registry at {self._host} rejects the schema of {subject}: {error.message}"
            ) from error

    async def schema(self, number: int) -> Any:
        """The Avro schema with this number; None where there is none. Raises ValueError and the like for one that does not parse."""
        try:
            schema = await self._patiently(lambda: self._client.get_by_id(number))
        except ClientError as error:
            raise FatalError(
                f"the schema registry at {self._host} refuses to return a schema: {error.message}"
            ) from error
        return schema.raw_schema if isinstance(schema, AvroSchema) else None

    async def _patiently(self, ask: Callable[[], Awaitable[T]]) -> T:
        until = time.monotonic() + PATIENCE_SEC
        while True:
            try:
                return await ask()
            except (httpx.TransportError, json.JSONDecodeError, ClientError) as error:
                if isinstance(error, ClientError) and (error.http_code or 0) < 500:
                    raise
                if time.monotonic() > until:
                    raise FatalError(
                        f"no schema registry at {self._host}: start it, or leave EDDY_SCHEMA_REGISTRY_URL unset"
                    ) from error
            await asyncio.sleep(TRIES_EVERY_SEC)
