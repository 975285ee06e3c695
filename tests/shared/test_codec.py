"""Single-object encoding: round trips, strictness, refusal of other bytes."""

import json
from pathlib import Path

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddy.contract.codec import HEADER_BYTES, MARKER, Codec
from eddy.errors import DecodeError
from eddy.paths import SCHEMAS

CODEC = Codec.of("user_event")

events = st.fixed_dictionaries(
    {
        "event_id": st.text(),
        "user_id": st.text(),
        "scenario": st.text(),
        "action": st.text(),
        "item_id": st.none() | st.text(),
        "value": st.none() | st.floats(allow_nan=False),
        "query": st.none() | st.text(),
        "request_id": st.none() | st.text(),
        "position": st.none() | st.integers(0, 2**31 - 1),
        "occurred_at": st.integers(-(2**63), 2**63 - 1),
        "attributes": st.dictionaries(st.text(), st.text()),
    }
)


@given(events)
def test_any_event_round_trips(event: dict[str, object]) -> None:
    assert CODEC.decode(CODEC.encode(event)) == event


@given(events, st.binary(max_size=40))
def test_surplus_bytes_are_an_error(event: dict[str, object], surplus: bytes) -> None:
    if surplus:
        with pytest.raises(DecodeError):
            CODEC.decode(CODEC.encode(event) + surplus)


@given(st.binary(max_size=200))
def test_random_bytes_are_an_error(payload: bytes) -> None:
    with pytest.raises(DecodeError):
        CODEC.decode(payload)


@given(events, st.data())
def test_cut_bytes_are_an_error(event: dict[str, object], data: st.DataObject) -> None:
    whole = CODEC.encode(event)
    with pytest.raises(DecodeError):
        CODEC.decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_header_is_the_standard_fingerprint() -> None:
    """The fingerprint of `"null"` in the Avro specification's own test data is 0x63DD24E7CC258F8A, little-endian on the wire."""
    assert bytes.fromhex(fastavro.schema.fingerprint('"null"', "CRC-64-AVRO")) == 0x63DD24E7CC258F8A.to_bytes(
        8, "little"
    )
    assert CODEC.encode(json.loads((SCHEMAS / "examples" / "user_event.json").read_text()))[:2] == MARKER


@pytest.mark.parametrize("change", [{"surprise": 1}, {"user_id": None}, {"occurred_at": "now"}])
def test_encoding_is_strict(change: dict[str, object]) -> None:
    event = json.loads((SCHEMAS / "examples" / "user_event.json").read_text())
    with pytest.raises((ValueError, TypeError, AttributeError)):
        CODEC.encode({**event, **change})


def test_another_records_bytes_are_an_error() -> None:
    item = json.loads((SCHEMAS / "examples" / "item.json").read_text())
    with pytest.raises(DecodeError):
        CODEC.decode(Codec.of("item").encode(item))


def test_bytes_of_a_former_version_are_read(tmp_path: Path) -> None:
    newer = json.loads((SCHEMAS / "item.avsc").read_text())
    newer["fields"].append({"name": "price", "type": ["null", "double"], "default": None})
    older = dict(fastavro.parse_schema(json.loads((SCHEMAS / "item.avsc").read_text()), named_schemas={}))
    current = dict(fastavro.parse_schema(newer, named_schemas={}))
    item = json.loads((SCHEMAS / "examples" / "item.json").read_text())
    written = Codec("item", older, []).encode(item)
    assert Codec("item", current, [older]).decode(written) == {**item, "price": None}
    assert len(written) > HEADER_BYTES


def test_the_bytes_after_the_last_field_of_a_part_are_not_read() -> None:
    item = json.loads((SCHEMAS / "examples" / "item.json").read_text())
    payload = Codec.of("item").encode(item)
    for bytes_of_it in (payload, payload[:-1], payload + b"more"):
        assert Codec.of("item").until("title").decode(bytes_of_it) == {
            name: item[name] for name in ("item_id", "scenarios", "title")
        }
    with pytest.raises(DecodeError):
        Codec.of("item").until("title").decode(payload[: HEADER_BYTES + 2])


def test_a_part_of_a_former_version_is_read() -> None:
    older = dict(fastavro.parse_schema(json.loads((SCHEMAS / "item.avsc").read_text()), named_schemas={}))
    newer = json.loads((SCHEMAS / "item.avsc").read_text())
    newer["fields"].insert(1, {"name": "price", "type": ["null", "double"], "default": None})
    codec = Codec("item", dict(fastavro.parse_schema(newer, named_schemas={})), [older])
    item = json.loads((SCHEMAS / "examples" / "item.json").read_text())
    written = Codec("item", older, []).encode(item)
    assert codec.until("item_id").decode(written) == {"item_id": item["item_id"]}
    assert codec.until("title").decode(written) == {
        **{name: item[name] for name in ("item_id", "scenarios", "title")},
        "price": None,
    }
