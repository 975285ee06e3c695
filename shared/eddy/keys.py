"""Key files of releases: PEM files with the trainer's private key, and with the public keys that scorers and the trainer accept.

`python -m eddy.keys` creates what is missing at the paths of the settings, for stacks in containers; `eddy keys create` does it by hand.
"""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from eddy.contract.releases import ReleaseKeys, key_id
from eddy.errors import ConfigError, EddyError
from eddy.paths import STATE

SIGNING_KEY = STATE / "keys" / "release-signing.pem"
PUBLIC_KEYS = STATE / "keys" / "release-public.pem"
CREATE = "Create both with `eddy keys create` (docs/operating.md)."
_PEM = re.compile(rb"-----BEGIN [^-]+-----.*?-----END [^-]+-----", re.DOTALL)


def read_signing_key(path: Path) -> Ed25519PrivateKey:
    """The private key in a PEM file. Raises ConfigError."""
    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise ConfigError(f"EDDY_TRAINER_SIGNING_KEY: cannot read {path} ({error.strerror}). {CREATE}") from error
    except (ValueError, TypeError) as error:
        raise ConfigError(f"EDDY_TRAINER_SIGNING_KEY: {path} is no unencrypted private key in PEM: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"EDDY_TRAINER_SIGNING_KEY: the key in {path} is not an Ed25519 key. {CREATE}")
    return key


def read_release_keys(path: Path) -> ReleaseKeys:
    """The public keys in a PEM file with at least one. Raises ConfigError."""
    return ReleaseKeys(_public_keys(path))


def _public_keys(path: Path) -> list[Ed25519PublicKey]:
    try:
        blocks = _PEM.findall(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"EDDY_RELEASE_PUBLIC_KEYS: cannot read {path} ({error.strerror}). {CREATE}") from error
    keys = []
    for number, block in enumerate(blocks, 1):
        try:
            key = load_pem_public_key(block)
        except ValueError as error:
            raise ConfigError(
                f"EDDY_RELEASE_PUBLIC_KEYS: block {number} of {path} is no public key: {error}"
            ) from error
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(f"EDDY_RELEASE_PUBLIC_KEYS: block {number} of {path} is not an Ed25519 key")
        keys.append(key)
    if not keys:
        raise ConfigError(f"EDDY_RELEASE_PUBLIC_KEYS: {path} has no public key in PEM. {CREATE}")
    return keys


def create_signing_key(path: Path) -> Ed25519PrivateKey:
    """Write a new private key, readable by its owner alone. Raises ConfigError if the file exists."""
    key = Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)  # unlike a rename, it replaces no other key
    except FileExistsError as error:
        raise ConfigError(
            f"{path} exists. Choose another path for the new key: the trainer may still use this one."
        ) from error
    finally:
        draft.unlink()
    return key


def add_public_key(path: Path, key: Ed25519PublicKey) -> None:
    """Add a public key to the file, unless it is there. The file is replaced atomically."""
    present = _public_keys(path) if path.exists() else []
    if key_id(key) in map(key_id, present):
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.write_bytes(
        b"".join(each.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo) for each in [*present, key])
    )
    draft.replace(path)


def ensure_keys(signing_key: Path, public_keys: Path) -> None:
    """Create the key pair of a local stack if it does not exist. Several processes may do so at once."""
    if not signing_key.exists():
        with suppress(ConfigError):  # another process was faster
            create_signing_key(signing_key)
    add_public_key(public_keys, read_signing_key(signing_key).public_key())


def main(arguments: list[str]) -> int:
    """Create the key pair at two paths: the private key, and the public keys."""
    if len(arguments) != 2:
        print("usage: python -m eddy.keys SIGNING_KEY PUBLIC_KEYS", file=sys.stderr)
        return 2
    try:
        ensure_keys(Path(arguments[0]), Path(arguments[1]))
    except (EddyError, OSError) as error:
        print(f"keys: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
