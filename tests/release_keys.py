"""The keys of releases in tests: one signing key, the same in every process of a run."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from eddy.contract.releases import ReleaseKeys
from eddy.keys import add_public_key

SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(b"eddy-tests".ljust(32, b"."))
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"eddy-other".ljust(32, b"."))
KEYS = ReleaseKeys([SIGNING_KEY.public_key()])


def key_settings(folder: Path) -> dict[str, str]:
    """Write the key files of SIGNING_KEY below `folder`; returns the settings that name them."""
    private, public = folder / "keys" / "signing.pem", folder / "keys" / "public.pem"
    add_public_key(public, SIGNING_KEY.public_key())
    private.write_bytes(SIGNING_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return {"EDDY_TRAINER_SIGNING_KEY": str(private), "EDDY_RELEASE_PUBLIC_KEYS": str(public)}
