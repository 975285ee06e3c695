"""Served lists, held as the bytes they came in and decoded on demand.

`read_list` walks a record once, which proves that it is whole and finds its parts; nothing but the ids of the head becomes Python
objects. The walk follows versions 1 and 2 of recommendations.avsc, known by their fingerprints; any other version goes through fastavro
first.
"""

import io
import struct
import sys
from functools import lru_cache
from typing import NamedTuple

import fastavro

from eddy.contract.avro.arrays import (
    find_string,
    read_count,
    read_strings,
    skip_booleans,
    skip_floats,
    skip_longs,
    skip_strings,
)
from eddy.contract.avro.values import (
    EMPTY,
    pack_long,
    pack_string,
    read_bytes,
    read_float,
    read_long,
    read_string,
    skip_string,
)
from eddy.contract.codec import HEADER_BYTES, Codec, frozen_header, load_schema
from eddy.contract.legacy import LEGACY_FEATURES
from eddy.contract.message import Message
from eddy.contract.model import FEATURES
from eddy.contract.records import Recommendations
from eddy.errors import DecodeError, PoisonError
from eddy.paths import SCHEMAS

_LAYOUT = load_schema(SCHEMAS / "versions" / "recommendations.2.avsc")
_LAYOUT_HEADER = frozen_header("recommendations", 2)
# Without names of features, refusals and `history.valued`.
_FIRST_HEADER = frozen_header("recommendations", 1)
_TODAYS_NAMES = pack_long(len(FEATURES)) + b"".join(map(pack_string, FEATURES)) + EMPTY
FLOAT16_BYTES = 2


class SlateItem(NamedTuple):
    """A place of a list."""

    item_id: str
    position: int
    propensity: float
    source: str = ""


class ServedSlate(NamedTuple):
    """A record of `recommendations`: its head, and where in `raw` the rest is. `feature_names` is that field as it is on the wire."""

    offset: int
    raw: bytes
    request_id: str
    user_id: str
    scenario: str
    requested_at: int
    served_at: int
    model_version: int
    applied_offset: int
    contract: str
    feature_names: bytes
    items_at: int
    considered_at: int
    features_at: int
    history_at: int
    refused: bool  # the scorer's answer to a request that it cannot use: nothing can be shown of it

    def items(self) -> dict[str, SlateItem]:
        """The places by item, in order; an item that stands twice has its first place."""
        found: dict[str, SlateItem] = {}
        count, at = read_count(self.raw, self.items_at)
        while count:
            for _ in range(count):
                place, at = _read_place(self.raw, at)
                found.setdefault(place.item_id, place)
            count, at = read_count(self.raw, at)
        return found

    def considered(self) -> list[str]:
        """All ranked candidates, in the order of the feature rows."""
        return read_strings(self.raw, self.considered_at)[0]

    def row_of(self, item_id: str) -> int | None:
        """Which feature row is the item's, None when it was not considered."""
        return find_string(self.raw, self.considered_at, item_id)

    def considered_encoded(self) -> bytes:
        """`considered` as it is on the wire."""
        return self.raw[self.considered_at : self.features_at]

    @property
    def row_bytes(self) -> int:
        """Size of the features of one candidate."""
        return FLOAT16_BYTES * _number_of_features(self.feature_names)

    def features(self) -> bytes:
        """Packed float16 [considered, feature_names]."""
        return read_bytes(self.raw, self.features_at)[0]

    def history_encoded(self) -> bytes:
        """The history snapshot as it is on the wire; the last field of the record."""
        return self.raw[self.history_at :]

    def may_hold(self, item_id: str) -> bool:
        """False when the item is surely not in the list; cheap."""
        return self.raw.find(item_id.encode(), self.items_at, self.features_at) >= 0


def read_slate(message: Message) -> ServedSlate:
    """The list in a message of `recommendations`.

    Raises PoisonError: `undecodable`, or `bad_features` where the feature rows are not one for each considered candidate.
    """
    raw = message.value
    header = raw[:HEADER_BYTES]
    if header == _FIRST_HEADER:
        raw += EMPTY  # the history's `valued`, which ends the record today
    elif header != _LAYOUT_HEADER:
        raw = _relaid(raw)
    try:
        found, features, count = _walk(raw, message.offset, header == _FIRST_HEADER)
    except (IndexError, ValueError, struct.error) as error:
        raise DecodeError(f"not a recommendations record: {error}") from error
    if features != count * found.row_bytes:
        raise PoisonError("bad_features", f"{features} bytes for {count} candidates of {found.row_bytes} bytes each")
    return found


def _walk(raw: bytes, offset: int, first: bool) -> tuple[ServedSlate, int, int]:
    """The list, its bytes of features and its number of candidates; `first` says that it is of version 1."""
    request_id, at = read_string(raw, HEADER_BYTES)
    user_id, at = read_string(raw, at)
    scenario, at = read_string(raw, at)
    requested_at, at = read_long(raw, at)
    served_at, at = read_long(raw, at)
    model_version, at = read_long(raw, at)
    _, at = read_string(raw, at)
    _, at = read_string(raw, at)
    applied_offset, items_at = read_long(raw, at)
    considered_at = _skip_items(raw, items_at)
    considered, features_at = skip_strings(raw, considered_at)
    length, at = read_long(raw, features_at)
    if length < 0:
        raise ValueError(f"{length} bytes of features")
    names, at = (EMPTY, at + length) if first else _read_names(raw, at + length)
    at = at if first else skip_strings(raw, at)[1]  # prediction_names
    contract, at = read_string(raw, at)
    refused, history_at = (False, at) if first else _skip_refusal(raw, at)
    end = _skip_history(raw, history_at)
    if end != len(raw):
        raise ValueError(f"{len(raw)} bytes where the record has {end}")
    found = ServedSlate(
        offset,
        raw,
        request_id,
        user_id,
        scenario,
        requested_at,
        served_at,
        model_version,
        applied_offset,
        contract,
        names,
        items_at,
        considered_at,
        features_at,
        history_at,
        refused,
    )
    return found, length, considered


def _skip_items(raw: bytes, at: int) -> int:
    count, at = read_count(raw, at)
    while count:
        for _ in range(count):
            at = skip_string(raw, at)
            _, at = read_long(raw, at)
            at = skip_floats(raw, at + 4) + 4
            at = skip_string(raw, skip_string(raw, at))
        count, at = read_count(raw, at)
    return at


def _read_place(raw: bytes, at: int) -> tuple[SlateItem, int]:
    """A place of a list that was walked before; short lengths, which most are, without a call."""
    byte = raw[at]
    if byte < 0x80:
        start, at = at + 1, at + 1 + (byte >> 1)
        item_id = raw[start:at].decode()
    else:
        item_id, at = read_string(raw, at)
    position, at = read_long(raw, at)
    at = skip_floats(raw, at + 4)
    propensity, at = read_float(raw, at)
    source, at = read_string(raw, at)
    byte = raw[at]
    at = at + 1 + (byte >> 1) if byte < 0x80 else skip_string(raw, at)
    return SlateItem(item_id, position, propensity, sys.intern(source)), at


def _skip_history(raw: bytes, at: int) -> int:
    for _ in range(3):
        _, at = skip_strings(raw, at)
    return skip_booleans(raw, skip_longs(raw, skip_floats(raw, at)))


def _read_names(raw: bytes, at: int) -> tuple[bytes, int]:
    """The names of the features as they are on the wire, one object for all lists that have the same."""
    if raw.startswith(_TODAYS_NAMES, at):  # an array says itself where it ends: what begins alike is the same
        return _TODAYS_NAMES, at + len(_TODAYS_NAMES)
    _, end = skip_strings(raw, at)
    return _one_object(raw[at:end]), end


@lru_cache(maxsize=16)
def _number_of_features(names: bytes) -> int:
    """None are those of the last contract without names."""
    return len(read_strings(names, 0)[0]) or len(LEGACY_FEATURES)


@lru_cache(maxsize=16)
def _one_object(names: bytes) -> bytes:
    return names


def _skip_refusal(raw: bytes, at: int) -> tuple[bool, int]:
    """Whether there is one, and where it ends."""
    branch, at = read_long(raw, at)
    if branch not in (0, 1):
        raise ValueError(f"branch {branch} of two")
    for _ in range(3 * branch):
        at = skip_string(raw, at)
    return bool(branch), at


def _relaid(payload: bytes) -> bytes:
    """A record of another version, in the layout that the walk knows. Raises DecodeError."""
    record = Codec.of(Recommendations).decode(payload)
    out = io.BytesIO()
    out.write(_LAYOUT_HEADER)
    fastavro.schemaless_writer(out, _LAYOUT, record)
    return out.getvalue()
