"""The texts that wait for a text model: only changed ones, those of new items first."""

import hashlib
from collections.abc import Hashable, Iterator, Mapping
from typing import Generic, TypeVar

from eddy.words import composed

K = TypeVar("K", bound=Hashable)

DIGEST_BYTES = 8
NO_TEXT = 0


def text_digest(text: str) -> int:
    """A digest of what a text model sees of a text, 64 bits (BLAKE2b, RFC 7693); NO_TEXT for a blank one."""
    seen = composed(text).strip()
    if not seen:
        return NO_TEXT
    return int.from_bytes(hashlib.blake2b(seen.encode(errors="replace"), digest_size=DIGEST_BYTES).digest(), "little")


class TextQueue(Generic[K]):
    """Pending texts by key. Those without an embedding come first, the newest of them before older ones; then changed texts, oldest first.

    The owner keeps the digest of each embedded text.
    """

    def __init__(self) -> None:
        self._new: dict[K, str] = {}
        self._changed: dict[K, str] = {}

    def __len__(self) -> int:
        return len(self._new) + len(self._changed)

    def put(self, key: K, text: str, embedded: int) -> None:
        """Queue the text of an item, unless it is the one with the digest `embedded` (NO_TEXT for none), or pending already."""
        if text_digest(text) == embedded:
            self.discard(key)
        elif self._new.get(key, self._changed.get(key)) != text:
            self.discard(key)
            (self._changed if embedded else self._new)[key] = text

    def discard(self, key: K) -> None:
        """Remove the pending text of an item, if there is one."""
        self._new.pop(key, None)
        self._changed.pop(key, None)

    def take(self, limit: int) -> list[tuple[K, str]]:
        """Remove and return up to `limit` texts with their keys."""
        return list(self._taken(limit))

    def state(self) -> dict[K, str]:
        """All pending texts, for a checkpoint."""
        return {**self._changed, **self._new}

    def restore(self, texts: Mapping[K, str]) -> None:
        """Replace the pending texts by the result of `state`. All of them count as new."""
        self._new, self._changed = dict(texts), {}

    def _taken(self, limit: int) -> Iterator[tuple[K, str]]:
        for _ in range(min(limit, len(self))):
            if self._new:
                yield self._new.popitem()
            else:
                key = next(iter(self._changed))
                yield key, self._changed.pop(key)
