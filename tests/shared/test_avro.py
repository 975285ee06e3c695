"""Encoding and decoding of parts of Avro records, against fastavro."""

import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddy.contract.avro import arrays, values

LONGS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.lists(st.text(max_size=200), max_size=150)
COLUMNS: list[tuple[str, Any]] = [
    ("string", st.text(max_size=80)),
    ("long", LONGS),
    ("float", st.floats(width=32, allow_nan=False)),
    ("boolean", st.booleans()),
]
SKIP = {
    "string": lambda data, at: arrays.skip_strings(data, at)[1],
    "long": arrays.skip_longs,
    "float": arrays.skip_floats,
    "boolean": arrays.skip_booleans,
}


def written(schema: object, value: object) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def array_of(kind: str) -> dict[str, str]:
    return {"type": "array", "items": kind}


def in_blocks(kind: str, column: list[Any], cuts: list[bool]) -> bytes:
    """The array in several blocks, some of them sized: as other writers may cut it."""
    parts = []
    for start, sized in zip(range(0, len(column), 2), cuts * len(column), strict=False):
        block = column[start : start + 2]
        packed = b"".join(written(kind, value) for value in block)
        head = written("long", -len(block)) + written("long", len(packed)) if sized else written("long", len(block))
        parts.append(head + packed)
    return b"".join(parts) + b"\0"


@given(LONGS)
def test_long_is_encoded_as_avro(value: int) -> None:
    packed = values.pack_long(value)
    assert packed == written("long", value)
    assert values.read_long(b"x" + packed, 1) == (value, 1 + len(packed))
    assert arrays.first_long(packed + b"\xff") == len(packed)


@given(st.text(max_size=200))
def test_string_is_encoded_as_avro(text: str) -> None:
    packed = values.pack_string(text)
    assert packed == values.pack_name(text) == values.pack_bytes(text.encode()) == written("string", text)
    assert values.read_string(b"x" + packed, 1) == (text, 1 + len(packed))
    assert values.read_bytes(b"x" + packed, 1) == (text.encode(), 1 + len(packed))
    assert values.skip_string(b"x" + packed, 1) == 1 + len(packed)
    for cut in {0, len(packed) // 2, len(packed) - 1}:
        for read in (values.read_string, values.skip_string):
            with pytest.raises((ValueError, IndexError)):
                read(packed[:cut], 0)


@given(st.floats(width=32, allow_nan=False))
def test_float_is_encoded_as_avro(value: float) -> None:
    packed = values.pack_float(value)
    assert packed == written("float", value)
    assert values.SOME + packed == written(["null", "float"], value)
    assert values.read_float(b"x" + packed, 1) == (value, 5)
    with pytest.raises(ValueError, match="float"):
        values.read_float(packed[:-1], 0)


def test_constants_are_encoded_as_avro() -> None:
    assert written(["null", "string"], None) == values.NULL
    assert (written("boolean", False), written("boolean", True)) == (values.FALSE, values.TRUE)
    assert {written("string", ""), written(array_of("long"), []), arrays.pack_array(0, b"")} == {values.EMPTY}


def test_overlong_integer_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        values.read_long(b"\x80" * 20 + b"\0", 0)


def test_text_that_is_not_utf8_is_refused() -> None:
    for read in (values.read_string, values.skip_string):
        with pytest.raises(ValueError, match="utf-8"):
            read(b"\x04\xff\xfe", 0)


@given(TEXTS)
def test_array_of_strings_is_encoded_as_avro_and_split_again(texts: list[str]) -> None:
    parts = [values.pack_string(text) for text in texts]
    packed = arrays.pack_array(len(parts), b"".join(parts))
    assert fastavro.schemaless_reader(io.BytesIO(packed), array_of("string"), None) == texts
    count, inner, end = arrays.read_block(b"x" + packed, 1)
    assert (count, arrays.split_strings(inner), end) == (len(texts), parts, 1 + len(packed))
    if parts:
        assert arrays.first_string(inner) == len(parts[0])


@given(TEXTS, st.lists(st.booleans(), min_size=1), st.integers(0, 10_000))
def test_strings_in_any_blocks_are_read_and_found(texts: list[str], cuts: list[bool], pick: int) -> None:
    for packed in (in_blocks("string", texts, cuts), written(array_of("string"), texts)):
        assert arrays.read_strings(packed, 0) == (texts, len(packed))
        assert arrays.skip_strings(packed + b"x", 0) == (len(texts), len(packed))
        if texts:
            text = texts[pick % len(texts)]
            assert arrays.find_string(packed, 0, text) == texts.index(text)
        assert arrays.find_string(packed, 0, "x" * 201) is None


@pytest.mark.parametrize(("kind", "elements"), COLUMNS)
@given(st.data())
def test_arrays_in_any_blocks_are_skipped(kind: str, elements: Any, data: st.DataObject) -> None:
    column = data.draw(st.lists(elements, max_size=40))
    cuts = data.draw(st.lists(st.booleans(), min_size=1))
    for packed in (in_blocks(kind, column, cuts), written(array_of(kind), column)):
        assert SKIP[kind](b"x" + packed + b"\1", 1) == 1 + len(packed)


@pytest.mark.parametrize("kind", ["string", "long", "boolean"])
def test_truncated_array_is_refused(kind: str) -> None:
    column = {"string": ["ab", "cd"], "long": [2**40, 3], "boolean": [True, False]}[kind]
    packed = written(array_of(kind), column)
    for cut in range(len(packed)):
        with pytest.raises((ValueError, IndexError)):
            SKIP[kind](packed[:cut], 0)


def test_skip_booleans_refuses_other_bytes() -> None:
    with pytest.raises(ValueError, match="booleans"):
        arrays.skip_booleans(b"\x04\x01\x02\x00", 0)


def test_read_block_refuses_blocks_of_other_writers() -> None:
    with pytest.raises(arrays.NotOneBlockError):
        arrays.read_block(written(array_of("long"), [1, 2, 3]), 0)
    two_blocks = arrays.pack_array(1, values.pack_long(5))[:-1] + arrays.pack_array(1, values.pack_long(6))
    with pytest.raises(arrays.NotOneBlockError):
        arrays.read_block(two_blocks, 0)
