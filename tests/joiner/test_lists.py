"""The walk over a list's bytes and the examples put together from them, against fastavro."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddy.contract.codec import Codec
from eddy.contract.reasons import REASONS
from eddy.errors import DecodeError, PoisonError
from eddy_joiner.core.examples import _HEADER as EXAMPLE_HEADER
from eddy_joiner.core.lists import _LAYOUT_HEADER as LIST_HEADER
from eddy_joiner.core.lists import ROW_BYTES, _relaid, read_list
from eddy_joiner.core.wire import read_long, read_strings, write_long, write_string
from tests.joiner.factories import LISTS, T0, list_record, message_of

IDS = st.lists(st.text(max_size=80), min_size=0, max_size=8)


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_come_back(value: int) -> None:
    assert read_long(write_long(value), 0) == (value, len(write_long(value)))


@given(IDS)
def test_strings_come_back(values: list[str]) -> None:
    encoded = b"".join([write_long(len(values)) if values else b"", *map(write_string, values), b"\x00"])
    assert read_strings(encoded, 0) == (values, len(encoded))


@given(IDS, IDS, IDS, st.text(max_size=80))
def test_a_walked_list_is_what_fastavro_reads(items: list[str], more: list[str], past: list[str], user: str) -> None:
    record = list_record("r", user, items, T0, considered=items + more, past=past)
    message = message_of(record)
    expected, found = LISTS.decode(message.value), read_list(message)
    assert (found.request_id, found.user_id, found.scenario) == ("r", user, "video")
    assert (found.requested_at, found.model_version, found.applied_offset) == (T0, 7, -1)
    assert found.considered() == expected["considered"]
    assert found.features() == expected["features"]
    assert found.contract == expected["contract"]
    assert list(found.items()) == list(dict.fromkeys(items))
    for item in reversed(expected["items"]):
        place = found.items()[item["item_id"]]
        assert place.position <= item["position"]
        if place.position == item["position"]:
            assert place.propensity == item["propensity"]


@given(st.data())
def test_cut_or_longer_lists_are_undecodable(data: st.DataObject) -> None:
    whole = message_of(list_record("r", "u", ["a", "b"], T0))
    cut = data.draw(st.integers(0, len(whole.value) - 1))
    for broken in (whole.value[:cut], whole.value + b"\x00"):
        with pytest.raises(DecodeError):
            read_list(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_poison(noise: bytes) -> None:
    whole = message_of(list_record("r", "u", ["a", "b"], T0))
    try:
        found = read_list(whole.__class__(whole.topic, 0, 0, whole.key, LIST_HEADER + noise, T0))
    except PoisonError as error:
        assert error.reason in REASONS
    else:
        assert found.items().keys() == {item["item_id"] for item in LISTS.decode(LIST_HEADER + noise)["items"]}


def test_text_that_is_not_utf8_is_undecodable() -> None:
    whole = message_of(list_record("r", "u", ["abcdef"], T0))
    broken = whole.value.replace(b"abcdef", b"abc\xff\xfef")
    with pytest.raises(DecodeError):
        read_list(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_more_integers_than_there_are_bytes_are_undecodable() -> None:
    whole = message_of(list_record("r", "u", ["a"], T0, past=["h"]))
    ending = write_long(1) + write_long(T0 - 1000) + b"\x00"
    assert whole.value.endswith(ending)
    broken = whole.value[: -len(ending)] + write_long(2**33) + write_long(T0 - 1000) + b"\x00"
    with pytest.raises(DecodeError):
        read_list(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_half_a_character_before_a_long_string_is_undecodable() -> None:
    whole = message_of(list_record("r", "u", ["ab", "x" * 64], T0, considered=["ab", "x" * 64], past=[]))
    spelt = write_string("ab") + write_string("x" * 64)
    at = whole.value.rindex(spelt)  # among the considered
    broken = whole.value[:at] + spelt.replace(b"ab", b"a\xc2") + whole.value[at + len(spelt) :]
    with pytest.raises(DecodeError):
        read_list(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_feature_rows_must_be_one_for_each_candidate() -> None:
    record = list_record("r", "u", ["a", "b"], T0)
    record["features"] = record["features"][:-ROW_BYTES]
    with pytest.raises(PoisonError, match="bad_features"):
        read_list(message_of(record))


def test_hand_written_layouts_are_the_schemas_of_today() -> None:
    assert Codec.of("recommendations").header == LIST_HEADER
    assert Codec.of("training_example").header == EXAMPLE_HEADER


def test_a_list_of_another_version_is_laid_out_anew() -> None:
    message = message_of(list_record("r", "u", ["a", "b"], T0))
    assert _relaid(message.value) == message.value
    with pytest.raises(DecodeError):
        _relaid(struct.pack("<2sQ", b"\xc3\x01", 1) + message.value[10:])
