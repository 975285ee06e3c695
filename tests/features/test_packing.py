"""Packed pieces against Avro as fastavro writes and reads it."""

import io

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy_features.core.packing import (
    NotPackedError,
    first_long,
    first_string,
    pack_array,
    pack_long,
    pack_string,
    read_array,
    read_long,
    split_strings,
)

LONGS = st.integers(-(2**63), 2**63 - 1)


def written(schema: object, value: object) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


@settings(deadline=None)
@given(LONGS)
def test_long_is_avro(value: int) -> None:
    packed = pack_long(value)
    assert packed == written("long", value)
    assert read_long(b"x" + packed, 1) == (value, 1 + len(packed))
    assert first_long(packed + b"\xff") == len(packed)


@settings(deadline=None)
@given(st.lists(st.text(max_size=200), max_size=150))
def test_array_of_strings_is_avro_and_comes_apart_again(texts: list[str]) -> None:
    parts = [pack_string(text) for text in texts]
    packed = pack_array(len(parts), b"".join(parts))
    assert fastavro.schemaless_reader(io.BytesIO(packed), {"type": "array", "items": "string"}, None) == texts
    count, inner, end = read_array(b"x" + packed, 1)
    assert (count, split_strings(inner), end) == (len(texts), parts, 1 + len(packed))
    if parts:
        assert first_string(inner) == len(parts[0])


def test_array_of_another_writer_is_told_apart() -> None:
    with pytest.raises(NotPackedError):
        read_array(written({"type": "array", "items": "long"}, [1, 2, 3]), 0)
    two_blocks = pack_array(1, pack_long(5))[:-1] + pack_array(1, pack_long(6))
    with pytest.raises(NotPackedError):
        read_array(two_blocks, 0)
