"""Avro values: pack, read and skip them.

`read_*` take a buffer and a position and return the value and the position after it, `skip_*` only the position. They raise ValueError or
IndexError for truncated or invalid bytes.
"""

import struct
from functools import lru_cache

NULL = b"\0"  # the first branch of a union such as ["null", "string"]
SOME = b"\2"  # the second branch; its value follows
FALSE, TRUE = b"\0", b"\1"
EMPTY = b"\0"  # bytes, string, array or map without content

FLOAT = struct.Struct("<f")
_MOST_BITS = 63
_TABLE = 8192  # integers from -_TABLE to below _TABLE are packed in advance


def pack_long(value: int) -> bytes:
    """An int or long: zigzag, little-endian base 128."""
    if -_TABLE <= value < _TABLE:
        return _LONGS[value]
    return _pack_long(value)


def pack_bytes(data: bytes | bytearray) -> bytes:
    """Bytes: length, then content."""
    return pack_long(len(data)) + data


def pack_string(text: str) -> bytes:
    """A string: its length in bytes, then UTF-8."""
    data = text.encode()
    return pack_long(len(data)) + data


@lru_cache(maxsize=50_000)
def pack_name(text: str) -> bytes:
    """As `pack_string`, cached: for repeated strings such as item ids and actions."""
    return pack_string(text)


def pack_float(value: float) -> bytes:
    """A 32-bit float."""
    return FLOAT.pack(value)


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """An int or long."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        if shift > _MOST_BITS:
            raise ValueError("an integer of more than 64 bits")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return (value >> 1) ^ -(value & 1), at


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Bytes, or a string in UTF-8."""
    length, at = read_long(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise ValueError(f"{length} bytes at {at} do not fit into {len(data)}")
    return data[at:end], end


def read_string(data: bytes, at: int) -> tuple[str, int]:
    """A string. Raises ValueError for invalid UTF-8."""
    raw, at = read_bytes(data, at)
    return raw.decode(), at


def skip_string(data: bytes, at: int) -> int:
    """A string. Raises ValueError for invalid UTF-8."""
    length, at = read_long(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise ValueError(f"{length} bytes at {at} do not fit into {len(data)}")
    data[at:end].decode()
    return end


def read_float(data: bytes, at: int) -> tuple[float, int]:
    """A 32-bit float."""
    if at + FLOAT.size > len(data):
        raise ValueError("bytes end within a float")
    return FLOAT.unpack_from(data, at)[0], at + FLOAT.size


@lru_cache(maxsize=4096)  # each time and offset of a batch is packed several times
def _pack_long(value: int) -> bytes:
    rest = (value << 1) ^ (value >> _MOST_BITS)
    out = bytearray()
    while rest >= 0x80:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


# Negative values index from the end of the list.
_LONGS = [_pack_long.__wrapped__(value) for value in [*range(_TABLE), *range(-_TABLE, 0)]]
