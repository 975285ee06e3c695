"""Which of two records of a key includes more: read off the first fields of the encoded record, without decoding the rest."""

from functools import cache

from services.features.item_state import ItemState
from services.features.user_state import UserState
from shared.codec import HEADER_BYTES, Codec
from shared.errors import DecodeError

_EMPTY = {
    "user_features": UserState().record(""),
    "item_features": ItemState().record(""),
}


def replaces_user(old: bytes | None, new: bytes) -> bool:
    """Whether `user_features` record `new` is one and includes all that `old` does."""
    try:
        return _applied_offset(new) >= (-1 if old is None else _applied_offset(old))
    except (DecodeError, IndexError):
        return False


def replaces_item(old: bytes | None, new: bytes) -> bool:
    """Whether `item_features` record `new` is one and includes all that `old` does, for every source partition."""
    try:
        applied = _applied_offsets(new)
        before = {} if old is None else _applied_offsets(old)
    except (DecodeError, IndexError):
        return False
    return all(applied.get(partition, -1) >= offset for partition, offset in before.items())


def _applied_offset(record: bytes) -> int:
    if not _is_current(record, "user_features"):
        return int(Codec.of("user_features").decode(record)["applied_offset"])
    length, at = _long(record, HEADER_BYTES)
    return _long(record, at + length)[0]


def _applied_offsets(record: bytes) -> dict[bytes, int]:
    if not _is_current(record, "item_features"):
        decoded = Codec.of("item_features").decode(record)["applied_offsets"]
        return {partition.encode(): offset for partition, offset in decoded.items()}
    length, at = _long(record, HEADER_BYTES)
    at += length
    offsets: dict[bytes, int] = {}
    while True:
        count, at = _long(record, at)
        if count == 0:
            return offsets
        if count < 0:
            _, at = _long(record, at)
        for _ in range(abs(count)):
            length, at = _long(record, at)
            partition = record[at : at + length]
            offsets[partition], at = _long(record, at + length)


@cache
def current_header(name: str) -> bytes:
    """The first bytes of every record that the current schema writes."""
    return Codec.of(name).encode(_EMPTY[name])[:HEADER_BYTES]


def _is_current(record: bytes, name: str) -> bool:
    return record[:HEADER_BYTES] == current_header(name)


def _long(data: bytes, at: int) -> tuple[int, int]:
    """An Avro long (zigzag, little-endian base 128) at `at`, and the place after it."""
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7
