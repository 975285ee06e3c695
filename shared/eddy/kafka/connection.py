"""Starts and stops clients of aiokafka on the brokers of the settings."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaConnectionError

from eddy.errors import FatalError
from eddy.kafka.login import Login
from eddy.settings import Settings


class Connection:
    """Addresses of the brokers, and the login."""

    def __init__(self, settings: Settings) -> None:
        """Raise ConfigError for an unreadable certificate or key."""
        self.servers = settings.kafka_bootstrap_servers
        self.login = Login.of(settings)

    @property
    def user(self) -> str:
        """The Kafka user, in words."""
        return f"the Kafka user {self.login.username}" if self.login.username else "the Kafka user of this client"

    @property
    def options(self) -> dict[str, Any]:
        """Options of aiokafka's clients."""
        return {"bootstrap_servers": self.servers, **self.login.options()}

    async def start(self, client: Any, start: str = "start", stop: str = "stop") -> None:
        """Start a client, and stop it if that fails. Raises FatalError if no broker answers."""
        try:
            await getattr(client, start)()
        except (KafkaConnectionError, OSError) as error:
            await getattr(client, stop)()
            raise FatalError(self._unreachable(error)) from error
        except BaseException:
            await getattr(client, stop)()
            raise

    @asynccontextmanager
    async def admin(self) -> AsyncIterator[AIOKafkaAdminClient]:
        """A started admin client. Raises FatalError if no broker answers."""
        client = AIOKafkaAdminClient(**self.options)
        await self.start(client, "start", "close")
        try:
            yield client
        finally:
            await client.close()

    def _unreachable(self, error: Exception) -> str:
        login_hint = (
            ". If a broker runs there, it may ask for a login: set EDDY_KAFKA_SECURITY, _USERNAME and _PASSWORD"
            if self.login.protocol == "PLAINTEXT"
            else f". If a broker runs there, it refused the login ({error}): check EDDY_KAFKA_SECURITY, _CA, _USERNAME and _PASSWORD"
        )
        return f"no Kafka at {self.servers}: start one (`make broker`) or set EDDY_KAFKA_BOOTSTRAP_SERVERS{login_hint}"
