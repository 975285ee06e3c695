"""The walk over a list's bytes and the examples put together from them, against fastavro."""

import struct
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddy.contract.avro.values import pack_long, pack_string
from eddy.contract.codec import Codec, Record, load_schema
from eddy.contract.legacy import LEGACY_FEATURES
from eddy.contract.model import FEATURES
from eddy.contract.reasons import REASONS
from eddy.errors import DecodeError, PoisonError
from eddy.paths import SCHEMAS
from eddy_joiner.core.examples import encode_example
from eddy_joiner.core.outcomes import Impression, Negative
from eddy_joiner.core.slates import _LAYOUT_HEADER as LIST_HEADER
from eddy_joiner.core.slates import _relaid, read_slate
from tests.joiner.factories import LISTS, T0, list_record, message_of

EXAMPLES = Codec.of("training_example")
VALUED = pack_long(1) + b"\x00" + b"\x00"  # of a history of one interaction, without a value
IDS = st.lists(st.text(max_size=80), min_size=0, max_size=8)


@given(IDS, IDS, IDS, st.text(max_size=80))
def test_a_walked_list_is_what_fastavro_reads(items: list[str], more: list[str], past: list[str], user: str) -> None:
    record = list_record("r", user, items, T0, considered=items + more, past=past)
    message = message_of(record)
    expected, found = LISTS.decode(message.value), read_slate(message)
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
            read_slate(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_list_or_poison(noise: bytes) -> None:
    whole = message_of(list_record("r", "u", ["a", "b"], T0))
    try:
        found = read_slate(whole.__class__(whole.topic, 0, 0, whole.key, LIST_HEADER + noise, T0))
    except PoisonError as error:
        assert error.reason in REASONS
    else:
        assert found.items().keys() == {item["item_id"] for item in LISTS.decode(LIST_HEADER + noise)["items"]}


def test_text_that_is_not_utf8_is_undecodable() -> None:
    whole = message_of(list_record("r", "u", ["abcdef"], T0))
    broken = whole.value.replace(b"abcdef", b"abc\xff\xfef")
    with pytest.raises(DecodeError):
        read_slate(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_more_integers_than_there_are_bytes_are_undecodable() -> None:
    whole = message_of(list_record("r", "u", ["a"], T0, past=["h"]))
    ending = pack_long(1) + pack_long(T0 - 1000) + b"\x00" + VALUED
    assert whole.value.endswith(ending)
    broken = whole.value[: -len(ending)] + pack_long(2**33) + pack_long(T0 - 1000) + b"\x00" + VALUED
    with pytest.raises(DecodeError):
        read_slate(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_half_a_character_before_a_long_string_is_undecodable() -> None:
    whole = message_of(list_record("r", "u", ["ab", "x" * 64], T0, considered=["ab", "x" * 64], past=[]))
    spelt = pack_string("ab") + pack_string("x" * 64)
    at = whole.value.rindex(spelt)  # among the considered
    broken = whole.value[:at] + spelt.replace(b"ab", b"a\xc2") + whole.value[at + len(spelt) :]
    with pytest.raises(DecodeError):
        read_slate(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_feature_rows_must_be_one_for_each_candidate() -> None:
    record = list_record("r", "u", ["a", "b"], T0)
    record["features"] = record["features"][: -2 * len(FEATURES)]
    with pytest.raises(PoisonError, match="bad_features"):
        read_slate(message_of(record))


def test_a_list_of_version_1_is_walked_and_its_examples_are_of_today() -> None:
    """Such lists lie in the topic for as long as it keeps them: no names of features, no refusal, a history that does not tell values."""
    record = list_record("r", "u", ["a", "b"], T0, past=["h"])
    first = Codec("recommendations", load_schema(SCHEMAS / "versions" / "recommendations.1.avsc"), [])
    message = message_of(record)
    former = replace(message, value=first.encode(_first(record)))
    found, today = read_slate(former), read_slate(message)
    assert found.features() == today.features()
    assert (found.items(), found.considered(), found.contract) == (today.items(), today.considered(), today.contract)
    for served, names, valued in ((found, [], []), (today, list(FEATURES), [False])):
        place = Impression(served.items()["a"], T0, T0 + 1)
        example = EXAMPLES.decode(encode_example(Negative(served, [place]), T0))
        assert example["feature_names"] == names
        assert example["history"] == {**record["history"], "valued": valued}
        assert example["features"] == record["features"][: 2 * len(FEATURES)]
    for broken in (former.value[:-1], former.value + b"\0"):
        with pytest.raises(DecodeError):
            read_slate(replace(former, value=broken))


def _first(record: Record) -> Record:
    """The record without what version 1 does not have."""
    history = {name: column for name, column in record["history"].items() if name != "valued"}
    kept = {
        name: value for name, value in record.items() if name not in ("feature_names", "prediction_names", "refusal")
    }
    return {**kept, "history": history}


@pytest.mark.parametrize("names", [[], ["one", "two"], [*FEATURES, "and another"]])
def test_names_of_features_pass_through_as_they_are(names: list[str]) -> None:
    columns = len(names) or len(LEGACY_FEATURES)
    features = np.arange(2 * columns, dtype=np.float16).tobytes()
    record = list_record("r", "u", ["b", "a"], T0, feature_names=names, features=features, prediction_names=["click"])
    served = read_slate(message_of(record))
    example = EXAMPLES.decode(encode_example(Negative(served, [Impression(served.items()["a"], T0, T0)]), T0))
    assert example["feature_names"] == names
    assert example["features"] == features[2 * columns :]
    assert example["history"] == list_record("r", "u", ["a"], T0)["history"]


def test_a_refused_request_is_a_list_of_nothing() -> None:
    refusal = {"reason": "bad_limit", "field": "limit", "detail": "limit is 0, it must be 1 to 500"}
    record = list_record("r", "u", [], T0, refusal=refusal)
    found = read_slate(message_of(record))
    assert found.refused
    assert not read_slate(message_of({**record, "refusal": None})).refused
    assert (found.items(), found.considered(), found.contract) == ({}, [], record["contract"])
    assert found.history_encoded() == read_slate(message_of({**record, "refusal": None})).history_encoded()


def test_a_list_of_another_version_is_laid_out_anew() -> None:
    message = message_of(list_record("r", "u", ["a", "b"], T0))
    assert _relaid(message.value) == message.value
    with pytest.raises(DecodeError):
        _relaid(struct.pack("<2sQ", b"\xc3\x01", 1) + message.value[10:])
