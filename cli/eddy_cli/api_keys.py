"""Changes a file of API keys. A running gateway adopts it."""

import secrets
from collections.abc import Sequence
from pathlib import Path

import yaml

from eddy.errors import ConfigError
from eddy_gateway.core.keys import Key, hash_of
from eddy_gateway.shell.key_store import parse_keys, read_keys

_PREFIX = "eddy_"


def add_key(file: Path, name: str, scopes: Sequence[str], tenant: str, scenarios: Sequence[str] | None) -> str:
    """Add a key, and return its secret, which is stored nowhere. Raises ConfigError for an invalid name or scope."""
    secret = _PREFIX + secrets.token_urlsafe(32)
    entry = {"name": name, "sha256": hash_of(secret), "scopes": list(scopes), "tenant": tenant, "scenarios": scenarios}
    (key,) = parse_keys({"keys": [entry]}, file)
    _write(file, [*(read_keys(file) if file.exists() else []), key])
    return secret


def remove_keys(file: Path, name: str, *, keep_newest: bool) -> int:
    """Remove the keys of a name, and return their number. Raises ConfigError if there is none."""
    keys = read_keys(file)
    named = [key for key in keys if key.name == name]
    if not named:
        names = ", ".join(sorted({key.name for key in keys}))
        raise ConfigError(f"{file} has no key {name}. It has: {names or 'none'}.")
    removed = named[:-1] if keep_newest else named
    _write(file, [key for key in keys if key not in removed])
    return len(removed)


def _write(file: Path, keys: Sequence[Key]) -> None:
    """Replace the file at once, readable by its owner alone."""
    entries = [
        {
            "name": key.name,
            "sha256": key.sha256,
            "scopes": sorted(key.scopes),
            **({"tenant": key.tenant} if key.tenant else {}),
            **({"scenarios": list(key.scenarios)} if key.scenarios else {}),
        }
        for key in keys
    ]
    new = file.with_name(f".{file.name}.new")
    new.write_text(yaml.safe_dump({"keys": entries}, sort_keys=False))
    new.chmod(file.stat().st_mode & 0o777 if file.exists() else 0o600)
    new.replace(file)
