"""A decoded prefix equals the first fields of the whole record."""

import itertools
from typing import Any

import fastavro.utils
import pytest

from eddy.contract.codec import HEADER_BYTES, Codec
from eddy.contract.prefix import PrefixDecoder
from eddy.contract.records import Recommendations, TrainingExample, UserEvent
from eddy.errors import DecodeError


@pytest.mark.parametrize("record", [UserEvent, Recommendations, TrainingExample])
def test_prefix_equals_the_front_of_any_record(record: type[Any]) -> None:
    codec = Codec.of(record)
    names = [field["name"] for field in codec.schema["fields"]]
    for whole in itertools.islice(fastavro.utils.generate_many(codec.schema, 5), 5):
        payload = codec.encode(whole)
        decoded = codec.decode(payload)
        for number, name in enumerate(names, 1):
            assert PrefixDecoder(record, name).decode(payload) == {key: decoded[key] for key in names[:number]}


def test_prefix_of_foreign_or_cut_bytes_is_refused() -> None:
    payload = Codec.of("user_event").encode(next(fastavro.utils.generate_many(Codec.of("user_event").schema, 1)))
    prefix = PrefixDecoder(UserEvent, "user_id")
    for broken in (b"", b"nonsense", b"\x00" + payload[1:], payload[: HEADER_BYTES + 1]):
        with pytest.raises(DecodeError):
            prefix.decode(broken)
