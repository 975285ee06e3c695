"""The accepted API keys, from EDDY_GATEWAY_KEYS_FILE and EDDY_GATEWAY_API_KEYS. A running gateway follows the file."""

import asyncio
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import structlog
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from eddy.errors import ConfigError
from eddy_gateway.core.keys import SCOPES, Key, KeyRing, hash_of
from eddy_gateway.settings import GatewaySettings

_POLL_SEC = 1.0
MAX_KEYS = 1000

log = structlog.get_logger()


class KeysFile(BaseModel):
    """The content of a keys file."""

    model_config = ConfigDict(extra="forbid")

    keys: Annotated[list[Key], Field(max_length=MAX_KEYS)] = []


def read_keys(path: Path) -> list[Key]:
    """The keys of a file. Raises ConfigError that names the file, the entry and what is wrong."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the keys file {path}: {error}; set EDDY_GATEWAY_KEYS_FILE") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
    return parse_keys(document, path)


def parse_keys(document: object, path: Path) -> list[Key]:
    """The keys of a parsed file; an empty one has none. Raises ConfigError as `read_keys`."""
    try:
        return KeysFile.model_validate({} if document is None else document).keys
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "keys"
        raise ConfigError(f"{path}: {where}: {first['msg']}. `eddy api-keys add` writes valid entries.") from error


class KeyStore:
    """The key ring in use. `required` is false for a gateway without keys, which everybody on this machine may use."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Raise ConfigError for an unusable file, and without any key on an address that other machines can reach."""
        self._path = settings.gateway_keys_file
        secrets = [key for key in (part.strip() for part in settings.gateway_api_keys.split(",")) if key]
        self._former = [
            Key(name=f"key-{number}", sha256=hash_of(secret), scopes=frozenset(SCOPES))
            for number, secret in enumerate(secrets, 1)
        ]
        self._read_at = self._changed_at()
        self.ring = KeyRing([*self._former, *(read_keys(self._path) if self._path else [])])
        # An empty file admits nobody: the last key of a tenant that left must not open the gateway to all.
        self.required = bool(self._former or self._path)
        reached_by = settings.gateway_reached_by or settings.http_host
        if not len(self.ring) and not is_loopback(reached_by):
            raise ConfigError(
                "EDDY_GATEWAY_API_KEYS is empty, and EDDY_GATEWAY_KEYS_FILE has no key, but other machines can reach "
                f"{reached_by}: add a key (`eddy api-keys add`), or listen on 127.0.0.1"
            )

    async def watch(self) -> None:
        """Follow the file until cancelled. While it is unusable, the former keys stay valid."""
        while True:
            await asyncio.sleep(_POLL_SEC)
            self.refresh()

    def refresh(self) -> None:
        """Adopt the file's keys if it has changed."""
        changed_at = self._changed_at()
        if self._path is None or changed_at == self._read_at:
            return
        self._read_at = changed_at
        try:
            self.ring = KeyRing([*self._former, *read_keys(self._path)])
            log.info("keys_adopted", keys=len(self.ring))
        except ConfigError as error:
            log.error("keys_file_unusable", detail=str(error))

    def _changed_at(self) -> tuple[int, int, int]:
        try:
            status = self._path.stat() if self._path else None
        except OSError:
            status = None
        return (status.st_mtime_ns, status.st_ino, status.st_size) if status else (0, 0, 0)


@lru_cache(1024)
def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an address."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
