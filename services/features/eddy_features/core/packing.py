"""Avro's binary encoding (specification 1.11), piece by piece, for records that are mostly what they were before.

A user's record changes by one interaction at a time. Kept as the packed bytes of its columns, it is read, moved on and written again in
a few microseconds, where decoding and encoding a hundred interactions takes a hundred. Arrays are written as one block with its size in
bytes, which every Avro reader understands and which lets ours step over a column without looking at its elements.
"""

import struct
from functools import lru_cache

END = b"\0"
NULL = b"\0"  # of ["null", something]
FALSE, TRUE = b"\0", b"\1"
_FLOAT = struct.Struct("<f")


class NotPackedError(Exception):
    """Not what we pack, such as an array that is not one sized block: decode the record as a whole instead."""


def pack_long(value: int) -> bytes:
    """An int or long: zigzag, little-endian base 128."""
    if -_CACHED <= value < _CACHED:
        return _LONGS[value]
    return _pack_long(value)


@lru_cache(maxsize=50_000)
def pack_string(text: str) -> bytes:
    """A string: its length in bytes, then UTF-8."""
    data = text.encode()
    return pack_long(len(data)) + data


def pack_bytes(data: bytes) -> bytes:
    return pack_long(len(data)) + data


def pack_float(value: float) -> bytes:
    """A float that might have been null: the second branch of ["null", "float"]."""
    return b"\x02" + _FLOAT.pack(value)


def pack_array(count: int, packed: bytes) -> bytes:
    """An array (or map) of `count` elements that are packed already."""
    if count == 0:
        return END
    return pack_long(-count) + pack_long(len(packed)) + packed + END


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """The long at `at`, and the place after it. Raises IndexError where the data end."""
    shift = value = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), at
        shift += 7


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """The bytes (or the string, in UTF-8) at `at`, and the place after them. Raises NotPackedError for a negative length."""
    length, at = read_long(data, at)
    if length < 0:
        raise NotPackedError
    return data[at : at + length], at + length


def read_array(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Count and packed elements of the array at `at`, and the place after it. Raises NotPackedError unless it is one sized block."""
    count, at = read_long(data, at)
    if count == 0:
        return 0, b"", at
    if count > 0:
        raise NotPackedError
    size, at = read_long(data, at)
    end = at + size
    if data[end] != 0:
        raise NotPackedError
    return -count, data[at:end], end + 1


def split_strings(packed: bytes) -> list[bytes]:
    """Packed strings one by one, each still packed."""
    parts: list[bytes] = []
    at, end = 0, len(packed)
    while at < end:
        length = packed[at]
        stop = at + 1 + (length >> 1)
        if length >= 0x80:
            _, stop = read_bytes(packed, at)
        parts.append(packed[at:stop])
        at = stop
    return parts


def first_string(packed: bytes) -> int:
    """Bytes that the first of packed strings takes."""
    size, start = read_long(packed, 0)
    return start + size


def first_long(packed: bytes) -> int:
    """Bytes that the first of packed longs takes."""
    at = 0
    while packed[at] >= 0x80:
        at += 1
    return at + 1


@lru_cache(maxsize=4096)  # an event's time and offset go into its user's state and into its signal
def _pack_long(value: int) -> bytes:
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest >= 0x80:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


_CACHED = 8192
# Index -1 is the last one, so negative values find themselves.
_LONGS = [_pack_long(value) for value in [*range(_CACHED), *range(-_CACHED, 0)]]
