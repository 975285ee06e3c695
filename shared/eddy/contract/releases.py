"""Authenticity of releases and item embeddings: each is signed with Ed25519, and only its signature makes it one.

The signed bytes of a release are DOMAIN, then for every field of the record except `signature`, sorted by name: the name and the value,
each preceded by its length in bytes (8 bytes, big-endian). A value is in Avro's binary encoding with the field's type in the current
schema; arrays and maps are one block, the entries of maps sorted by key. A field that has its schema's default is left out, so that
trainers and scorers of versions that differ by a new field accept each other's releases; therefore a default never changes.

The signature of a release is `ed25519:<key id>:<base64>`. The key id only selects the public key: the first 8 bytes of its SHA-256, in
hexadecimal digits.

Embeddings are many, so those of a release have one signature: of the root of their Merkle tree (eddy.contract.merkle), whose leaves are the
fields in Avro's binary encoding. The signed bytes are EMBEDDING_DOMAIN, the number of leaves and the root. The field `signature` has the
key id, the signature, number of the leaf, number of leaves (_PROOF), and the path of the embedding. A further field would need another
domain.
"""

import base64
import hashlib
import io
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from struct import Struct
from typing import Any

import fastavro
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from eddy.contract.avro.values import FLOAT, pack_bytes, pack_long, pack_string
from eddy.contract.checks import check_key
from eddy.contract.codec import Codec
from eddy.contract.limits import (
    MAX_GRAPH_BYTES,
    MAX_ID_CHARS,
    MAX_MODEL_NAMES,
    MAX_OFFSET,
    MAX_PUBLISHED_MS,
    MAX_RELEASE_METRICS,
    MAX_VERSION,
)
from eddy.contract.merkle import MerkleTree, leaf, root_of
from eddy.contract.records import ItemEmbedding, ModelRelease
from eddy.errors import PoisonError

CHAMPION = "champion"
DOMAIN = b"eddy model release 1\n"
EMBEDDING_DOMAIN = b"eddy item embeddings 1\n"
ALGORITHM = "ed25519"
SIGNATURE = "signature"
_LENGTH_BYTES = 8
_PROOF = Struct(">8s64sII")
# Roots whose signature was checked, of the newest releases.
_MAX_CHECKED = 64


def signed_bytes(release: ModelRelease) -> bytes:
    """The bytes that the signature of a release covers."""
    return _signed_bytes(DOMAIN, Codec.of(ModelRelease).schema, {**release})


def _signed_bytes(domain: bytes, schema: Mapping[str, Any], record: Mapping[str, Any]) -> bytes:
    parts = [domain]
    for field in sorted(schema["fields"], key=lambda field: str(field["name"])):
        name, value = field["name"], record[field["name"]]
        if name == SIGNATURE or ("default" in field and value == field["default"]):
            continue
        for part in (name.encode(), _avro(field["type"], value)):
            parts += [len(part).to_bytes(_LENGTH_BYTES), part]
    return b"".join(parts)


def _avro(kind: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, kind, dict(sorted(value.items())) if isinstance(value, dict) else value)
    return out.getvalue()


def key_id(key: Ed25519PublicKey) -> str:
    """The id of a public key in signatures and logs."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def sign_release(release: ModelRelease, key: Ed25519PrivateKey) -> ModelRelease:
    """The release with its signature. Any former signature is ignored."""
    signature = base64.b64encode(key.sign(signed_bytes(release))).decode()
    signed = release.copy()
    signed["signature"] = f"{ALGORITHM}:{key_id(key.public_key())}:{signature}"
    return signed


def sign_embeddings(embeddings: Sequence[ItemEmbedding], key: Ed25519PrivateKey) -> None:
    """Set the signatures of one or more embeddings. It takes one signature, whatever their number."""
    tree = MerkleTree([_leaf(embedding) for embedding in embeddings])
    signer, size = bytes.fromhex(key_id(key.public_key())), len(embeddings)
    signature = key.sign(_signed_root(size, tree.root))
    for index, embedding in enumerate(embeddings):
        embedding["signature"] = _PROOF.pack(signer, signature, index, size) + tree.path(index)


def _leaf(embedding: ItemEmbedding) -> bytes:
    return leaf(
        pack_string(embedding["item_id"])
        + pack_long(embedding["version"])
        + pack_bytes(embedding["vector"])
        + FLOAT.pack(embedding["bias"])
    )


def _signed_root(size: int, root: bytes) -> bytes:
    return EMBEDDING_DOMAIN + size.to_bytes(4) + root


class ReleaseKeys:
    """The public keys whose releases and item embeddings are accepted. Several at a time allow one key to replace another."""

    def __init__(self, keys: Iterable[Ed25519PublicKey]) -> None:
        self._keys = {key_id(key): key for key in keys}
        self._checked: OrderedDict[tuple[bytes, int, bytes], None] = OrderedDict()

    @property
    def ids(self) -> list[str]:
        """The ids of the keys."""
        return sorted(self._keys)

    def check(self, release: ModelRelease, message_key: bytes | None) -> None:
        """Raise PoisonError unless one of the keys signed the release, and it is valid as far as that shows without loading its graphs."""
        self._check_signature(release)
        check_key("slot", release["slot"], message_key)
        _check_fields(release)

    def check_embedding(self, embedding: ItemEmbedding) -> None:
        """Raise PoisonError unless one of the keys signed the embedding."""
        proof = embedding["signature"]
        signer = proof[: _PROOF.size].hex()[:16]
        key = self._keys.get(signer)
        if key is None:
            raise PoisonError(
                "bad_signature",
                f"the embedding is signed with {f'the key {signer!r}' if signer else 'no key'}, but EDDY_RELEASE_PUBLIC_KEYS has "
                f"{', '.join(self.ids) or 'none'}. Trainers of former versions did not sign embeddings: upgrade the trainer. Anything "
                "else that writes embeddings is an attack.",
                SIGNATURE,
            )
        if not self._matches(embedding, key):
            raise PoisonError(
                "bad_signature",
                f"the signature of the embedding does not match: it was changed after key {signer} signed it.",
                SIGNATURE,
            )

    def _matches(self, embedding: ItemEmbedding, key: Ed25519PublicKey) -> bool:
        proof = embedding["signature"]
        if len(proof) < _PROOF.size:
            return False
        _, signature, index, size = _PROOF.unpack_from(proof)
        root = root_of(_leaf(embedding), index, size, proof[_PROOF.size :])
        if root is None:
            return False
        checked = (proof[: _PROOF.size - 8], size, root)
        if checked not in self._checked:
            try:
                key.verify(signature, _signed_root(size, root))
            except InvalidSignature:
                return False
            self._checked[checked] = None
            if len(self._checked) > _MAX_CHECKED:
                self._checked.popitem(last=False)
        return True

    def _check_signature(self, release: ModelRelease) -> None:
        algorithm, _, rest = release["signature"].partition(":")
        signer, _, encoded = rest.partition(":")
        if algorithm != ALGORITHM:
            raise PoisonError(
                "bad_signature",
                f"version {release['version']} is not signed with {ALGORITHM}. Trainers of former versions did not sign: upgrade the "
                "trainer. Anything else that writes releases is an attack.",
                SIGNATURE,
            )
        key = self._keys.get(signer)
        if key is None:
            raise PoisonError(
                "bad_signature",
                f"version {release['version']} is signed with the key {signer[:16]!r}, but EDDY_RELEASE_PUBLIC_KEYS has "
                f"{', '.join(self.ids) or 'none'}. Add the trainer's public key if it is yours.",
                SIGNATURE,
            )
        try:
            key.verify(base64.b64decode(encoded, validate=True), signed_bytes(release))
        except (InvalidSignature, ValueError) as error:
            raise PoisonError(
                "bad_signature",
                f"the signature of version {release['version']} does not match: the release was changed after key {signer} signed it.",
                SIGNATURE,
            ) from error


def _check_fields(release: ModelRelease) -> None:
    _check(1 <= release["version"] <= MAX_VERSION, "version", f"is {release['version']}, not 1 to {MAX_VERSION}")
    for graph, content in (("encode", release["encode"]), ("rank", release["rank"])):
        size = len(content)
        _check(0 < size <= MAX_GRAPH_BYTES, graph, f"has {size} bytes, not 1 to {MAX_GRAPH_BYTES}")
    for field, offsets in (
        ("embedding_offsets", release["embedding_offsets"]),
        ("trained_through", release["trained_through"]),
    ):
        _check(all(0 <= offset <= MAX_OFFSET for offset in offsets), field, "has a negative offset")
    _check(len(release["metrics"]) <= MAX_RELEASE_METRICS, "metrics", f"has more than {MAX_RELEASE_METRICS} entries")
    for name, value in release["metrics"].items():
        _check(isfinite(value), "metrics", f"has {name[:MAX_ID_CHARS]!r} = {value}, which is not finite")
    acted_at = release["metrics"].get("acted_at", 0.0)
    _check(0 <= acted_at <= MAX_PUBLISHED_MS, "metrics", f"has acted_at = {acted_at}, which is no time in milliseconds")
    released_at = release["released_at"]
    _check(0 <= released_at <= MAX_PUBLISHED_MS, "released_at", f"is {released_at}, which is no time in milliseconds")
    for field, names in (("features", release["features"]), ("actions", release["actions"])):
        _check(len(set(names)) == len(names) <= MAX_MODEL_NAMES, field, f"repeats a name or has over {MAX_MODEL_NAMES}")
        _check(all(0 < len(name) <= MAX_ID_CHARS for name in names), field, "has an empty or overlong name")


def _check(valid: bool, field: str, problem: str) -> None:
    if not valid:
        raise PoisonError("bad_release", f"{field} of the release {problem}", field)
