"""Decides whether a record replaces another of its key, and how old it is, from the beginning of the encoded records."""

from eddy.contract.avro.arrays import read_block
from eddy.contract.avro.values import read_bytes, read_long
from eddy.contract.codec import HEADER_BYTES, Codec, frozen_header
from eddy.contract.records import ItemFeatures, UserFeatures
from eddy.errors import DecodeError

# Both begin with their key, followed by their applied offsets.
_USER_HEADER, _ITEM_HEADER = frozen_header("user_features", 7), frozen_header("item_features", 4)


def replaces_user(old: bytes | None, new: bytes) -> bool:
    """Whether `new` is a `user_features` record that includes every event of `old`."""
    try:
        return _applied_offset(new) >= (-1 if old is None else _applied_offset(old))
    except (DecodeError, IndexError):
        return False


def replaces_item(old: bytes | None, new: bytes) -> bool:
    """Whether `new` is an `item_features` record that includes every signal of `old`, for each source partition."""
    try:
        applied = _applied_offsets(new)
        former = {} if old is None else _applied_offsets(old)
    except (DecodeError, IndexError):
        return False
    return all(applied.get(partition, -1) >= offset for partition, offset in former.items())


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
    position = 0
    while position < len(packed):
        partition, position = read_bytes(packed, position)
        offsets[partition], position = read_long(packed, position)
    return offsets


def user_times(record: bytes) -> tuple[int, int] | None:
    """`as_of` and `age_start` of a `user_features` record; None if it is not readable."""
    try:
        if record.startswith(_USER_HEADER):
            _, position = read_long(record, read_bytes(record, HEADER_BYTES)[1])
            as_of, position = read_long(record, position)
            return as_of, read_long(record, position)[0]
        decoded = Codec.of(UserFeatures).decode(record)
        return decoded["as_of"], decoded["age_start"]
    except (DecodeError, IndexError, ValueError):
        return None


def user_as_of(record: bytes) -> int:
    """The time of the newest event in a `user_features` record; one that is not readable does not expire."""
    times = user_times(record)
    return 2**63 if times is None else times[0]


def item_as_of(record: bytes) -> int:
    """As `user_as_of`, for an `item_features` record."""
    try:
        if record.startswith(_ITEM_HEADER):
            _, _, position = read_block(record, read_bytes(record, HEADER_BYTES)[1])
            return read_long(record, position)[0]
        return Codec.of(ItemFeatures).decode(record)["as_of"]
    except (DecodeError, IndexError, ValueError):
        return 2**63
