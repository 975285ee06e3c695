"""The few pieces of Avro's binary encoding (specification 1.11) that the joiner reads and writes by hand.

A list is held as its raw bytes, and most of an example is a part of its list unchanged; these functions find the parts. All take
a buffer and a position and return the position behind what they read. They raise IndexError or ValueError on bytes that end early.
"""

import re
import struct
from functools import lru_cache

_FLOAT = struct.Struct("<f")


def read_long(data: bytes, at: int) -> tuple[int, int]:
    """A zigzag variable-length integer."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return (byte >> 1) ^ -(byte & 1), at
    value, shift = byte & 0x7F, 7
    while byte >= 0x80:
        if shift > 63:
            raise ValueError("an integer of more than 64 bits")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return (value >> 1) ^ -(value & 1), at


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """Length-prefixed bytes."""
    length, at = read_long(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise ValueError(f"{length} bytes at {at} do not fit into {len(data)}")
    return data[at:end], end


def read_string(data: bytes, at: int) -> tuple[str, int]:
    """A string. Raises ValueError when it is not UTF-8."""
    raw, at = read_bytes(data, at)
    return raw.decode(), at


def skip_string(data: bytes, at: int) -> int:
    """A string, passed over. Raises ValueError when it is not UTF-8."""
    length, at = read_long(data, at)
    end = at + length
    if length < 0 or end > len(data):
        raise ValueError(f"{length} bytes at {at} do not fit into {len(data)}")
    data[at:end].decode()
    return end


def read_float(data: bytes, at: int) -> tuple[float, int]:
    """A 32-bit float."""
    if at + 4 > len(data):
        raise ValueError("bytes end within a float")
    return _FLOAT.unpack_from(data, at)[0], at + 4


def read_count(data: bytes, at: int) -> tuple[int, int]:
    """Items in the next block of an array; 0 ends it. A negative count is followed by the block's size, which is passed over."""
    count, at = read_long(data, at)
    if count < 0:
        _, at = read_long(data, at)
        count = -count
    return count, at


def read_strings(data: bytes, at: int) -> tuple[list[str], int]:
    """An array of strings."""
    found: list[str] = []
    count, at = read_count(data, at)
    while count:
        for _ in range(count):
            byte = data[at]
            if byte < 0x80 and not byte & 1:
                start, at = at + 1, at + 1 + (byte >> 1)
                found.append(data[start:at].decode())
            else:
                text, at = read_string(data, at)
                found.append(text)
        count, at = read_count(data, at)
    if at > len(data):
        raise ValueError("bytes end within an array")
    return found, at


def skip_strings(data: bytes, at: int) -> tuple[int, int]:
    """An array of strings, passed over: how many, and the position behind. Raises ValueError when one is not UTF-8."""
    start, total, short = at, 0, True
    count, at = read_count(data, at)
    while count:
        total += count
        for _ in range(count):
            byte = data[at]
            if byte < 0x80 and not byte & 1:
                at += 1 + (byte >> 1)
            else:
                short = False
                _, at = read_bytes(data, at)
        count, at = read_count(data, at)
    if at > len(data):
        raise ValueError("bytes end within an array")
    try:
        data[start:at].decode()  # lengths below 64 are ASCII: all strings at one go
    except UnicodeDecodeError:
        short = False
    if not short:  # a longer length could be the end of a character that the string before it began
        read_strings(data, start)
    return total, at


def find_string(data: bytes, at: int, wanted: str) -> int | None:
    """Index of a string in the array at `at`, None when it is not there."""
    target, index = write_string(wanted), 0
    count, at = read_count(data, at)
    while count:
        for _ in range(count):
            if data.startswith(target, at):
                return index
            index += 1
            byte = data[at]
            if byte < 0x80:
                at += 1 + (byte >> 1)
            else:
                _, at = read_bytes(data, at)
        count, at = read_count(data, at)
    return None


def skip_floats(data: bytes, at: int) -> int:
    """An array of 32-bit floats, passed over."""
    count, at = read_count(data, at)
    while count:
        at += 4 * count
        count, at = read_count(data, at)
    return at


def skip_booleans(data: bytes, at: int) -> int:
    """An array of booleans, passed over. Raises ValueError where one is neither true nor false."""
    count, at = read_count(data, at)
    while count:
        end = at + count
        if end > len(data) or data[at:end].strip(b"\0\1"):
            raise ValueError(f"not {count} booleans at {at}")
        count, at = read_count(data, end)
    return at


def skip_longs(data: bytes, at: int) -> int:
    """An array of integers, passed over. Raises ValueError where there are fewer than it says."""
    count, at = read_count(data, at)
    while count:
        found = _longs(count).match(data, at) if count <= len(data) - at else None
        if found is None:
            raise ValueError(f"fewer than {count} integers at {at}")
        count, at = read_count(data, found.end())
    return at


@lru_cache(maxsize=256)
def _longs(count: int) -> "re.Pattern[bytes]":
    """So many variable-length integers, counted by the regular expression engine instead of a loop in Python."""
    return re.compile(rb"(?:[\x80-\xff]{0,9}[\x00-\x7f]){%d}" % count)


def write_long(value: int) -> bytes:
    """The zigzag variable-length integer."""
    rest = (value << 1) ^ (value >> 63)
    if 0 <= rest < 0x80:
        return _SMALL[rest]
    out = bytearray()
    while rest >= 0x80:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)


def write_bytes(value: bytes) -> bytes:
    return write_long(len(value)) + value


def write_string(value: str) -> bytes:
    return write_bytes(value.encode())


@lru_cache(maxsize=1024)
def write_word(value: str) -> bytes:
    """As `write_string`, remembered: for names from small closed sets."""
    return write_string(value)


def write_float(value: float) -> bytes:
    return _FLOAT.pack(value)


_SMALL = [bytes([value]) for value in range(0x80)]
