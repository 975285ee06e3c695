"""Error messages for undecodable messages: what the message looks like, and what to do."""

import json

HINT = "See docs/publish-events.md"
_SINGLE_OBJECT, _REGISTRY = b"\xc3\x01", b"\0"
_FINGERPRINT, _SCHEMA_ID = slice(2, 10), slice(1, 5)
_QUOTED_BYTES = 12


def describe_undecodable(record: str, payload: bytes, belongs_to: str | None) -> str:
    """Why `payload`, which begins with no known header of `record`, cannot be decoded.

    `belongs_to` is the record whose header it has, if any.
    """
    if not payload:
        return f"the message is empty. Publish a {record}. {HINT}"
    if belongs_to is not None:
        return f"the message is encoded as {belongs_to}, not as {record}. Check the topic. {HINT}"
    if payload.startswith(_SINGLE_OBJECT):
        fingerprint = payload[_FINGERPRINT].hex()
        return f"unknown schema fingerprint {fingerprint}. Use schemas/{record}.avsc of this version of Eddy. {HINT}"
    if payload.startswith(_REGISTRY) and len(payload) >= _SCHEMA_ID.stop:
        number = int.from_bytes(payload[_SCHEMA_ID])
        return (
            f"the message names schema {number} of a schema registry. Set EDDY_SCHEMA_REGISTRY_URL to a registry that has "
            f"it as a {record}. {HINT}"
        )
    return f"the message is not Avro ({_description(payload)}). {HINT}"


def _description(payload: bytes) -> str:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        text = ""
    if text.lstrip().startswith(("{", "[")):
        return "it looks like JSON" if _is_json(text) else "it looks like JSON, cut off or malformed"
    if text and all(letter.isprintable() or letter.isspace() for letter in text):
        return "it looks like plain text"
    return f"it begins with {payload[:_QUOTED_BYTES].hex()}; Eddy's messages begin with {_SINGLE_OBJECT.hex()}"


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
