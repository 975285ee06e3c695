"""Which items of a user's last slates were shown: each counts once, however often and in which way it is reported."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from struct import Struct

from eddy.contract.digests import digest_of
from eddy.errors import DecodeError
from eddy_features.core.item_tables import find_entry

REQUESTS = 50
_ENTRY = Struct("<8sQ")
_LAST_BIT = 63


@dataclass(slots=True)
class ShownRequests:
    """The last REQUESTS requests with an impression, packed as in the record: their digests, and a bit for each position that was shown.

    Positions from 63 on share a bit.
    """

    packed: bytearray = field(default_factory=bytearray)

    @staticmethod
    def of_record(packed: bytes) -> "ShownRequests":
        """The table in a record's `shown`. Raises DecodeError for another size."""
        if len(packed) % _ENTRY.size:
            raise DecodeError(
                f"user_features: shown has {len(packed)} bytes, which are no entries of {_ENTRY.size} bytes"
            )
        return ShownRequests(bytearray(packed))

    def add(self, request_id: str, positions: Iterable[int]) -> list[int]:
        """Include positions of a request's slate; returns those that had not been shown."""
        digest = digest_of(request_id)
        start, shown = find_entry(self.packed, digest, _ENTRY.size), 0
        if start >= 0:
            _, shown = _ENTRY.unpack_from(self.packed, start)
        new = [position for position in positions if not shown >> min(position, _LAST_BIT) & 1]
        for position in new:
            shown |= 1 << min(position, _LAST_BIT)
        if start >= 0:
            _ENTRY.pack_into(self.packed, start, digest, shown)
        else:
            self.packed += _ENTRY.pack(digest, shown)
            del self.packed[: -REQUESTS * _ENTRY.size]
        return new
