"""Client of a schema registry with Confluent's API. Import it only with a registry set: the library takes seconds to import."""

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

RETRY_SEC = 0.5
TIMEOUT_SEC = 30.0

T = TypeVar("T")


class Registry:
    """Registers and reads schemas. Requests without an answer, or with one of a proxy in between, are repeated for TIMEOUT_SEC.

    Every method raises FatalError if the registry does not answer or rejects the request.
    """

    def __init__(self, url: str) -> None:
        self._host = urlsplit(url).hostname
        self._client = AsyncSchemaRegistryClient(url, timeout=httpx.Timeout(5.0))
        # Shared by all requests. Otherwise each creates its own, which blocks the event loop for a tenth of a second.
        self._client.client_kwargs["verify"] = httpx.create_ssl_context()

    async def register(self, subject: str, schema: str) -> int:
        """The id of a schema, given as JSON; a new schema is registered for `subject`."""
        try:
            return int(await self._with_retries(lambda: self._client.register(subject, AvroSchema(schema))))
        except ClientError as error:
            raise FatalError(
                f"the schema registry at {self._host} rejects the schema of {subject}: {error.message}"
            ) from error

    async def schema(self, number: int) -> Any:
        """The schema with this id; None if it is not an Avro schema. Raises ValueError or similar for one that does not parse."""
        try:
            schema = await self._with_retries(lambda: self._client.get_by_id(number))
        except ClientError as error:
            raise FatalError(
                f"the schema registry at {self._host} refuses to return a schema: {error.message}"
            ) from error
        return schema.raw_schema if isinstance(schema, AvroSchema) else None

    async def _with_retries(self, request: Callable[[], Awaitable[T]]) -> T:
        deadline = time.monotonic() + TIMEOUT_SEC
        while True:
            try:
                return await request()
            except (httpx.TransportError, json.JSONDecodeError, ClientError) as error:
                if isinstance(error, ClientError) and (error.http_code or 0) < 500:
                    raise
                if time.monotonic() > deadline:
                    raise FatalError(
                        f"no schema registry at {self._host}: start it or unset EDDY_SCHEMA_REGISTRY_URL"
                    ) from error
            await asyncio.sleep(RETRY_SEC)
