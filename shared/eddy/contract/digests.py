"""8-byte BLAKE2b digests (RFC 7693) that stand for ids in records: of 10^9 ids, two share one with a probability of 3 %."""

import hashlib
from functools import lru_cache
from struct import Struct

DIGEST_BYTES = 8

# An entry of `seen_items` in `user_features`: the digest of an item id, seconds of event time, decayed number of interactions.
SEEN_ENTRY = Struct("<8sIe")
# An entry of `rejected_items`: the digest of an item id, event time in milliseconds.
REJECTED_ENTRY = Struct("<8sq")


def digest_of(text: str) -> bytes:
    """The digest of an id."""
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).digest()


@lru_cache(maxsize=50_000)
def item_digest(item_id: str) -> bytes:
    """As `digest_of`, cached: items recur."""
    return digest_of(item_id)
