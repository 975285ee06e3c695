"""Which of two records of a key includes more: read off the first fields of the encoded record, without decoding the rest."""

from eddy.contract.avro.arrays import read_block
from eddy.contract.avro.values import read_bytes, read_long
from eddy.contract.codec import HEADER_BYTES, Codec, frozen_header
from eddy.contract.records import ItemFeatures, UserFeatures
from eddy.errors import DecodeError

# Both begin with their key, then what they include.
_USER_HEADER, _ITEM_HEADER = frozen_header("user_features", 2), frozen_header("item_features", 2)


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
    if record.startswith(_USER_HEADER):
        try:
            return read_long(record, read_bytes(record, HEADER_BYTES)[1])[0]
        except ValueError:
            pass
    return Codec.of(UserFeatures).decode(record)["applied_offset"]


def _applied_offsets(record: bytes) -> dict[bytes, int]:
    if record.startswith(_ITEM_HEADER):
        try:
            _, packed, _ = read_block(record, read_bytes(record, HEADER_BYTES)[1])
            return _offsets(packed)
        except ValueError:
            pass
    decoded = Codec.of(ItemFeatures).decode(record)
    return {name.encode(): offset for name, offset in decoded["applied_offsets"].items()}


def _offsets(packed: bytes) -> dict[bytes, int]:
    offsets: dict[bytes, int] = {}
    at = 0
    while at < len(packed):
        partition, at = read_bytes(packed, at)
        offsets[partition], at = read_long(packed, at)
    return offsets
