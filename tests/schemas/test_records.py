"""Typed dictionaries and topic names match the schemas."""

from typing import Any, get_args, get_type_hints

import pytest

from eddy.contract import records, topics
from eddy.contract.codec import Codec, schema_name
from eddy.contract.generate import TARGET, generated
from eddy.paths import SCHEMAS
from tests.schemas.test_schemas import example

CLASSES = {name: kind for name, kind in vars(records).items() if isinstance(kind, type)}


def test_records_are_fresh() -> None:
    assert TARGET.read_text() == generated(), "run python -m eddy.contract.generate"


@pytest.mark.parametrize("path", sorted(SCHEMAS.glob("*.avsc")), ids=lambda path: path.stem)
def test_every_record_has_its_class_and_its_codec(path: Any) -> None:
    (kind,) = [kind for kind in CLASSES.values() if schema_name(kind) == path.stem]
    codec = Codec.of(kind)
    assert codec is Codec.of(path.stem)
    decoded = codec.decode(codec.encode(example(path.stem)))
    assert list(get_type_hints(kind)) == list(decoded)
    for name, hint in get_type_hints(kind).items():
        plain = [getattr(each, "__origin__", each) for each in get_args(hint) or [hint]]
        if not hasattr(hint, "__origin__"):  # neither list[...] nor dict[...]
            assert any(each in CLASSES.values() or isinstance(decoded[name], each) for each in plain), name


def test_topic_names_carry_their_records() -> None:
    named = {getattr(topics, name): hint for name, hint in get_type_hints(topics).items()}
    assert {topic: schema_name(get_args(hint)[0]) for topic, hint in named.items()} == {
        name: topic.record for name, topic in topics.topics().items()
    }
    assert Codec.for_topic(topics.USER_EVENTS) is Codec.of(records.UserEvent)
