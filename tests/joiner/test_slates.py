"""The walk over a slate's bytes and the examples assembled from them, compared with fastavro."""

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
from eddy_joiner.core.slates import _LAYOUT_HEADER as SLATE_HEADER
from eddy_joiner.core.slates import _convert, read_slate
from tests.joiner.factories import SLATES, T0, message_of, slate_record

EXAMPLES = Codec.of("training_example")
VALUED = pack_long(1) + b"\x00" + b"\x00"  # `history.valued` of one interaction, false
IDS = st.lists(st.text(max_size=80), min_size=0, max_size=8)


@given(IDS, IDS, IDS, st.text(max_size=80))
def test_a_walked_slate_equals_what_fastavro_reads(
    items: list[str], more: list[str], past: list[str], user: str
) -> None:
    record = slate_record("r", user, items, T0, considered=items + more, past=past)
    message = message_of(record)
    expected, slate = SLATES.decode(message.value), read_slate(message)
    assert (slate.request_id, slate.user_id, slate.scenario) == ("r", user, "video")
    assert (slate.requested_at, slate.model_version, slate.applied_offset) == (T0, 7, -1)
    assert slate.candidates() == expected["considered"]
    assert slate.features() == expected["features"]
    assert slate.contract == expected["contract"]
    assert list(slate.items()) == list(dict.fromkeys(items))
    for item in reversed(expected["items"]):
        first = slate.items()[item["item_id"]]
        assert first.position <= item["position"]
        if first.position == item["position"]:
            assert first.propensity == item["propensity"]


@given(st.data())
def test_truncated_or_longer_slates_are_undecodable(data: st.DataObject) -> None:
    whole = message_of(slate_record("r", "u", ["a", "b"], T0))
    cut = data.draw(st.integers(0, len(whole.value) - 1))
    for broken in (whole.value[:cut], whole.value + b"\x00"):
        with pytest.raises(DecodeError):
            read_slate(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_slate_or_poison(noise: bytes) -> None:
    whole = message_of(slate_record("r", "u", ["a", "b"], T0))
    try:
        slate = read_slate(whole.__class__(whole.topic, 0, 0, whole.key, SLATE_HEADER + noise, T0))
    except PoisonError as error:
        assert error.reason in REASONS
    else:
        assert slate.items().keys() == {item["item_id"] for item in SLATES.decode(SLATE_HEADER + noise)["items"]}


def test_invalid_utf8_is_undecodable() -> None:
    whole = message_of(slate_record("r", "u", ["abcdef"], T0))
    broken = whole.value.replace(b"abcdef", b"abc\xff\xfef")
    with pytest.raises(DecodeError):
        read_slate(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_an_array_longer_than_the_record_is_undecodable() -> None:
    whole = message_of(slate_record("r", "u", ["a"], T0, past=["h"]))
    ending = pack_long(1) + pack_long(T0 - 1000) + b"\x00" + VALUED
    assert whole.value.endswith(ending)
    broken = whole.value[: -len(ending)] + pack_long(2**33) + pack_long(T0 - 1000) + b"\x00" + VALUED
    with pytest.raises(DecodeError):
        read_slate(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_a_truncated_character_before_a_long_string_is_undecodable() -> None:
    whole = message_of(slate_record("r", "u", ["ab", "x" * 64], T0, considered=["ab", "x" * 64], past=[]))
    encoded = pack_string("ab") + pack_string("x" * 64)
    at = whole.value.rindex(encoded)  # in the candidates
    broken = whole.value[:at] + encoded.replace(b"ab", b"a\xc2") + whole.value[at + len(encoded) :]
    with pytest.raises(DecodeError):
        read_slate(whole.__class__(whole.topic, 0, 0, whole.key, broken, T0))


def test_a_slate_must_have_one_feature_row_per_candidate() -> None:
    record = slate_record("r", "u", ["a", "b"], T0)
    record["features"] = record["features"][: -2 * len(FEATURES)]
    with pytest.raises(PoisonError, match="bad_features"):
        read_slate(message_of(record))


def test_a_slate_of_version_1_is_walked_and_gives_examples_of_the_current_version() -> None:
    """The topic retains such slates for a while. They have no feature names, no refusal and no `history.valued`."""
    record = slate_record("r", "u", ["a", "b"], T0, past=["h"])
    version_1 = Codec("recommendations", load_schema(SCHEMAS / "versions" / "recommendations.1.avsc"), [])
    message = message_of(record)
    former = replace(message, value=version_1.encode(_version_1(record)))
    old, new = read_slate(former), read_slate(message)
    assert old.features() == new.features()
    assert (old.items(), old.candidates(), old.contract) == (new.items(), new.candidates(), new.contract)
    for slate, names, valued in ((old, [], []), (new, list(FEATURES), [False])):
        impression = Impression(slate.items()["a"], T0, T0 + 1)
        example = EXAMPLES.decode(encode_example(Negative(slate, [impression]), T0))
        assert example["feature_names"] == names
        assert example["history"] == {**record["history"], "valued": valued}
        assert example["features"] == record["features"][: 2 * len(FEATURES)]
    for broken in (former.value[:-1], former.value + b"\0"):
        with pytest.raises(DecodeError):
            read_slate(replace(former, value=broken))


def _version_1(record: Record) -> Record:
    """The record without the fields that version 1 does not have."""
    history = {name: column for name, column in record["history"].items() if name != "valued"}
    fields = {
        name: value for name, value in record.items() if name not in ("feature_names", "prediction_names", "refusal")
    }
    return {**fields, "history": history}


@pytest.mark.parametrize("names", [[], ["one", "two"], [*FEATURES, "and another"]])
def test_feature_names_pass_through_unchanged(names: list[str]) -> None:
    columns = len(names) or len(LEGACY_FEATURES)
    features = np.arange(2 * columns, dtype=np.float16).tobytes()
    record = slate_record("r", "u", ["b", "a"], T0, feature_names=names, features=features, prediction_names=["click"])
    slate = read_slate(message_of(record))
    example = EXAMPLES.decode(encode_example(Negative(slate, [Impression(slate.items()["a"], T0, T0)]), T0))
    assert example["feature_names"] == names
    assert example["features"] == features[2 * columns :]
    assert example["history"] == slate_record("r", "u", ["a"], T0)["history"]


def test_a_refused_request_is_an_empty_slate() -> None:
    refusal = {"reason": "bad_limit", "field": "limit", "detail": "limit is 0, it must be 1 to 500"}
    record = slate_record("r", "u", [], T0, refusal=refusal)
    slate = read_slate(message_of(record))
    assert slate.refused
    assert not read_slate(message_of({**record, "refusal": None})).refused
    assert (slate.items(), slate.candidates(), slate.contract) == ({}, [], record["contract"])
    assert slate.encoded_history() == read_slate(message_of({**record, "refusal": None})).encoded_history()


def test_a_slate_of_another_version_is_converted() -> None:
    message = message_of(slate_record("r", "u", ["a", "b"], T0))
    assert _convert(message.value) == message.value
    with pytest.raises(DecodeError):
        _convert(struct.pack("<2sQ", b"\xc3\x01", 1) + message.value[10:])
