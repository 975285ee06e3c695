"""Erasure: a record without a value (a tombstone) makes every reader of its topic forget the id that is its key.

In `user-events` and `training-examples` a tombstone stands between the records of the former user and those of a new one with the same id,
so that the order of the partition decides what is forgotten, however often a reader starts again. The first one is written by the gateway
(`DELETE /v1/users/{id}`) or, for an order in `erasures` and for a tombstone that somebody else wrote to `user-features`, by the features
service. Items are erased by a tombstone in `items`, which the features service repeats in `item-signals`.
"""

import json
from collections.abc import Sequence
from typing import Final, Literal, get_args

from eddy.contract.checks import PartitionOf, check_length, check_partition, quoted
from eddy.contract.message import Message
from eddy.contract.records import Erasure
from eddy.errors import PoisonError

Kind = Literal["user", "item"]
USER: Final = "user"
ITEM: Final = "item"
# Name of the header of every tombstone that Eddy writes. Its value is the `cause_of` the tombstone, or empty.
BY_EDDY: Final = "eddy"
# Name of the header in which the tombstone of an item names its scenarios, as a JSON list: when it is all that is left of a catalogue, it
# still says which scenarios have one.
OF_SCENARIOS: Final = "scenarios"


def cause_of(message: Message) -> str:
    """Names a record that calls for a tombstone elsewhere, so that the tombstone is recognised when the record is read again."""
    return f"{message.topic}/{message.partition}/{message.offset}"


def encode_scenarios(names: Sequence[str]) -> bytes:
    """The value of OF_SCENARIOS."""
    return json.dumps(list(names)).encode()


def decode_scenarios(value: bytes) -> tuple[str, ...] | None:
    """The scenarios in a value of OF_SCENARIOS; None if it is not one."""
    try:
        names = json.loads(value)
    except (ValueError, RecursionError):
        return None
    return tuple(names) if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def erased_id(message: Message, partition_of: PartitionOf | None) -> str:
    """The id that a tombstone erases. Raises PoisonError if its key is none."""
    try:
        name = (message.key or b"").decode()
    except UnicodeDecodeError as error:
        raise PoisonError(
            "wrong_key", "the key of a record without a value is not UTF-8. Use the id as the key."
        ) from error
    if not name:
        raise PoisonError("empty_name", "a record without a value has no key. Use the id to erase as the key.")
    check_length("key", name)
    check_partition(message, partition_of)
    return name


def check_erasure(record: Erasure, key: bytes | None) -> None:
    """Raises PoisonError for an unusable record of `erasures`."""
    if record["kind"] not in get_args(Kind):
        raise PoisonError("out_of_range", f"unknown kind {quoted(record['kind'])}. Use user or item.", "kind")
    if not record["id"]:
        raise PoisonError("empty_name", "id is empty. Name the user or item.", "id")
    check_length("id", record["id"])
    if key != record["id"].encode():
        raise PoisonError("wrong_key", "the message key is not the id of the record. Use the id as the key.", "id")
