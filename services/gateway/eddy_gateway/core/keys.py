"""API keys: who may do what, and whose data a caller may name."""

import hmac
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from eddy.contract.checks import quoted
from eddy.errors import PoisonError

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin")
OTHER_TENANT = "other_tenant"


def hash_of(secret: str) -> str:
    """The SHA-256 of a key, in hex. It needs no salt, because keys are random (`eddy api-keys add`)."""
    return sha256(secret.encode(errors="surrogateescape")).hexdigest()


class Key(BaseModel):
    """An API key, without its secret.

    `read` allows GET, `write` what stores events and items, `admin` everything, also what deletes. With a `tenant`, every user and item
    that a request names must begin with it, and every scenario too, unless the key lists its `scenarios`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    scopes: Annotated[frozenset[Scope], Field(min_length=1)]
    tenant: Annotated[str, Field(max_length=64)] = ""
    scenarios: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether the key has the scope; `admin` includes the others."""
        return scope in self.scopes or "admin" in self.scopes

    def check_ids(self, field: str, ids: Iterable[str | None]) -> None:
        """Raise PoisonError, naming the field, for a user or item that is not of the key's tenant."""
        for name in ids:
            if name is not None and not name.startswith(self.tenant):
                raise _of_another(field, name, f"one that begins with {quoted(self.tenant)}")

    def may_use(self, scenario: str) -> bool:
        """Whether the key may name a scenario."""
        return scenario.startswith(self.tenant) if self.scenarios is None else scenario in self.scenarios

    def check_scenarios(self, field: str, names: Iterable[str]) -> None:
        """As `check_ids`, for scenarios."""
        for name in names:
            if not self.may_use(name):
                listed = " or ".join(map(quoted, self.scenarios or ()))
                raise _of_another(field, name, listed or f"one that begins with {quoted(self.tenant)}")

    def check_item_scenarios(self, names: Sequence[str]) -> None:
        """As `check_scenarios`, for those of an item: none means all scenarios, also those of others."""
        if not names and (self.tenant or self.scenarios is not None):
            raise PoisonError(
                OTHER_TENANT,
                "scenarios is empty, which means all of them, also those of other tenants. Name the scenarios of the item.",
                "scenarios",
            )
        self.check_scenarios("scenarios", names)


def _of_another(field: str, name: str, allowed: str) -> PoisonError:
    return PoisonError(
        OTHER_TENANT,
        f"{field} {quoted(name)} is outside of what this key may name. Use {allowed}, or another key.",
        field,
    )


# The caller of a gateway without keys.
ANYBODY = Key(name="none", sha256=hash_of(""), scopes=frozenset(SCOPES))


class KeyRing:
    """The accepted keys. Two entries of one name are one caller: during a rotation, its former key and its new one."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = [(bytes.fromhex(key.sha256), key) for key in keys]

    def __len__(self) -> int:
        return len(self._keys)

    def find(self, secret: str) -> Key | None:
        """The key with this secret. The time does not depend on which keys are similar to it."""
        digest = bytes.fromhex(hash_of(secret))
        matches = [key for accepted, key in self._keys if hmac.compare_digest(accepted, digest)]
        return matches[0] if secret and matches else None
