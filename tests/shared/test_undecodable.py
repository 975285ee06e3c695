"""Errors for undecodable messages say what the message looks like and what to do."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddy.contract.codec import MARKER, Codec
from eddy.contract.prefix import PrefixDecoder
from eddy.contract.records import Item, UserEvent
from eddy.errors import DecodeError
from eddy.paths import SCHEMAS

CODEC = Codec.of(UserEvent)
EVENT = json.loads((SCHEMAS / "examples" / "user_event.json").read_text())
ITEM = json.loads((SCHEMAS / "examples" / "item.json").read_text())
HINT = ". See docs/publish-events.md"


def detail(payload: bytes) -> str:
    with pytest.raises(DecodeError) as caught:
        CODEC.decode(payload)
    assert caught.value.reason == "undecodable"
    return caught.value.detail


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "the message is empty. Publish a user_event"),
        (json.dumps(EVENT).encode(), "the message is not Avro (it looks like JSON)"),
        (b'\n [{"user_id": "u1"}]', "the message is not Avro (it looks like JSON)"),
        (json.dumps(EVENT).encode()[:-1], "the message is not Avro (it looks like JSON, cut off or malformed)"),
        ("clicked ü 17\n".encode(), "the message is not Avro (it looks like plain text)"),
        (
            b"\x80\x04\x95binary",
            "the message is not Avro (it begins with 80049562696e617279; Eddy's messages begin with c301)",
        ),
        (
            b"\0" + (17).to_bytes(4) + b"body",
            "the message names schema 17 of a schema registry. Set EDDY_SCHEMA_REGISTRY_URL to a registry that has it as a "
            "user_event",
        ),
        (
            MARKER + bytes(range(8)) + b"body",
            "unknown schema fingerprint 0001020304050607. Use schemas/user_event.avsc of this version of Eddy",
        ),
        (Codec.of(Item).encode(ITEM), "the message is encoded as item, not as user_event. Check the topic"),
    ],
)
def test_message_kinds_are_distinguished(payload: bytes, message: str) -> None:
    assert detail(payload) == message + HINT


def test_prefix_decodes_the_same_fields() -> None:
    with pytest.raises(DecodeError, match=r"it looks like JSON\)"):
        PrefixDecoder(UserEvent, "user_id").decode(b"{}")


def test_deeply_nested_json_is_recognised() -> None:
    assert "cut off or malformed" in detail(b"[" * 200_000)


@given(st.binary(max_size=60))
def test_undecodable_bytes_get_one_line_with_a_hint(payload: bytes) -> None:
    message = detail(payload)
    assert "\n" not in message
    assert message.endswith(HINT)
    assert len(message) < 300
