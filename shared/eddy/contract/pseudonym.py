"""Keyed pseudonyms of users: the same id has the same pseudonym, which nobody can trace back without the key."""

import hmac
from base64 import urlsafe_b64encode

MIN_KEY_CHARS = 32
_BYTES = 16


def pseudonym(user_id: str, key: str) -> str:
    """The pseudonym of a user: 22 characters, the first 128 bits of HMAC-SHA-256 (RFC 2104) in URL-safe Base64.

    Applications that publish to Kafka themselves use it for `user_id` and for the message key, with the key of EDDY_PSEUDONYM_KEY.
    """
    digest = hmac.digest(key.encode(), user_id.encode(), "sha256")
    return urlsafe_b64encode(digest[:_BYTES]).rstrip(b"=").decode()
