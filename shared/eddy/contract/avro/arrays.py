"""Avro arrays: pack, read, skip and split them.

Arrays are written as one block with its size in bytes, which every Avro reader understands and which lets `read_block` copy a column
without parsing its elements. Other writers may use blocks without size, or several blocks: all functions but `read_block` read these too.
Conventions and errors are as in `values`.
"""

import re
from functools import lru_cache

from eddy.contract.avro.values import EMPTY, FLOAT, pack_long, pack_string, read_bytes, read_long, read_string

_LONG = re.compile(rb"[\x80-\xff]*[\x00-\x7f]")


class NotOneBlockError(ValueError):
    """The array is not one block with a size. Decode the whole record with fastavro instead."""


def pack_array(count: int, packed: bytes) -> bytes:
    """Pack an array or map of `count` packed elements."""
    if count == 0:
        return EMPTY
    return pack_long(-count) + pack_long(len(packed)) + packed + EMPTY


def read_block(data: bytes, at: int) -> tuple[int, bytes, int]:
    """Count and packed elements of an array (or map), and the position after it. Raises NotOneBlockError unless it is one sized block."""
    count, at = read_long(data, at)
    if count == 0:
        return 0, b"", at
    if count > 0:
        raise NotOneBlockError
    size, at = read_long(data, at)
    end = at + size
    if size < 0 or data[end] != 0:
        raise NotOneBlockError
    return -count, data[at:end], end + 1


def read_count(data: bytes, at: int) -> tuple[int, int]:
    """Number of elements in the next block; 0 ends the array. A negative count is followed by the block's size, which is skipped."""
    count, at = read_long(data, at)
    if count < 0:
        _, at = read_long(data, at)
        count = -count
    return count, at


def read_strings(data: bytes, at: int) -> tuple[list[str], int]:
    """Read an array of strings."""
    texts: list[str] = []
    count, at = read_count(data, at)
    while count:
        for _ in range(count):
            byte = data[at]
            if byte < 0x80 and not byte & 1:
                start, at = at + 1, at + 1 + (byte >> 1)
                texts.append(data[start:at].decode())
            else:
                text, at = read_string(data, at)
                texts.append(text)
        count, at = read_count(data, at)
    if at > len(data):
        raise ValueError("bytes end within an array")
    return texts, at


def skip_strings(data: bytes, at: int) -> tuple[int, int]:
    """Skip an array of strings; returns their number and the position after it. Raises ValueError for invalid UTF-8."""
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
        data[start:at].decode()  # lengths below 64 are ASCII, so that all strings can be checked at once
    except UnicodeDecodeError:
        short = False
    if not short:  # a longer length could complete a truncated character of the string before it
        read_strings(data, start)
    return total, at


def find_string(data: bytes, at: int, text: str) -> int | None:
    """Index of a string in an array of strings that `skip_strings` has checked; None for a missing one."""
    target, index = pack_string(text), 0
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
    """Skip an array of 32-bit floats. Truncated bytes are only detected by the next read."""
    count, at = read_count(data, at)
    while count:
        at += FLOAT.size * count
        count, at = read_count(data, at)
    return at


def skip_booleans(data: bytes, at: int) -> int:
    """Skip an array of booleans. Raises ValueError for other bytes."""
    count, at = read_count(data, at)
    while count:
        end = at + count
        if end > len(data) or data[at:end].strip(b"\0\1"):
            raise ValueError(f"not {count} booleans at {at}")
        count, at = read_count(data, end)
    return at


def skip_longs(data: bytes, at: int) -> int:
    """Skip an array of longs. Raises ValueError for a truncated one."""
    count, at = read_count(data, at)
    while count:
        block = _longs(count).match(data, at) if count <= len(data) - at else None
        if block is None:
            raise ValueError(f"fewer than {count} integers at {at}")
        count, at = read_count(data, block.end())
    return at


def split_strings(packed: bytes) -> list[bytes]:
    """Split packed strings into single packed strings."""
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


def split_longs(packed: bytes) -> list[bytes]:
    """Split packed longs into single packed longs."""
    return _LONG.findall(packed)


def first_string(packed: bytes) -> int:
    """Length in bytes of the first packed string."""
    size, start = read_long(packed, 0)
    return start + size


def first_long(packed: bytes) -> int:
    """Length in bytes of the first packed long."""
    at = 0
    while packed[at] >= 0x80:
        at += 1
    return at + 1


@lru_cache(maxsize=256)
def _longs(count: int) -> "re.Pattern[bytes]":
    """Matches `count` variable-length integers: faster than a loop in Python."""
    return re.compile(rb"(?:[\x80-\xff]{0,9}[\x00-\x7f]){%d}" % count)
