"""Served slates, kept as the bytes that arrived and decoded on demand.

`read_slate` walks a record once, which validates it and locates its fields; only the fields before `items` become Python objects. The walk
follows versions 1 and 2 of recommendations.avsc, recognised by their fingerprints; fastavro converts any other version first.
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
# Has no feature names, no refusal and no `history.valued`.
_FIRST_HEADER = frozen_header("recommendations", 1)
_CURRENT_NAMES = pack_long(len(FEATURES)) + b"".join(map(pack_string, FEATURES)) + EMPTY
FLOAT16_BYTES = 2


class SlateItem(NamedTuple):
    """An item of a slate."""

    item_id: str
    position: int
    propensity: float
    source: str = ""


class ServedSlate(NamedTuple):
    """A record of `recommendations`: its first fields, and the offsets in `raw` at which the others start.

    `feature_names` is the encoded field, `appended_at` the append time (ms). `refused` marks the scorer's answer to an unusable request,
    which has no items to show.
    """

    offset: int
    appended_at: int
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
    items_start: int
    candidates_start: int
    features_start: int
    history_start: int
    refused: bool

    def items(self) -> dict[str, SlateItem]:
        """The items by id, in order; of an item that occurs twice, the first occurrence."""
        items: dict[str, SlateItem] = {}
        count, at = read_count(self.raw, self.items_start)
        while count:
            for _ in range(count):
                item, at = _read_item(self.raw, at)
                items.setdefault(item.item_id, item)
            count, at = read_count(self.raw, at)
        return items

    def candidates(self) -> list[str]:
        """The ids of all candidates, in the order of the feature rows."""
        return read_strings(self.raw, self.candidates_start)[0]

    def row_of(self, item_id: str) -> int | None:
        """Index of the item's feature row, None if it is not among the candidates."""
        return find_string(self.raw, self.candidates_start, item_id)

    def encoded_candidates(self) -> bytes:
        """The encoded field `considered`: the ids of all candidates."""
        return self.raw[self.candidates_start : self.features_start]

    @property
    def row_bytes(self) -> int:
        """Size of the feature row of one candidate, in bytes."""
        return FLOAT16_BYTES * _number_of_features(self.feature_names)

    def features(self) -> bytes:
        """Packed float16 [candidates, feature_names]."""
        return read_bytes(self.raw, self.features_start)[0]

    def encoded_history(self) -> bytes:
        """The encoded field `history`, the last one of the record."""
        return self.raw[self.history_start :]

    def may_include(self, item_id: str) -> bool:
        """False only if the item is neither in the slate nor among the candidates; searches the bytes without decoding them."""
        return self.raw.find(item_id.encode(), self.items_start, self.features_start) >= 0


def read_slate(message: Message) -> ServedSlate:
    """Read a message of `recommendations`.

    Raises PoisonError: `undecodable`, or `bad_features` unless there is one feature row for each candidate.
    """
    raw = message.value
    header = raw[:HEADER_BYTES]
    if header == _FIRST_HEADER:
        raw += EMPTY  # an empty `history.valued`, the last field of version 2
    elif header != _LAYOUT_HEADER:
        raw = _convert(raw)
    try:
        slate, feature_bytes, candidates = _walk(raw, message, header == _FIRST_HEADER)
    except (IndexError, ValueError, struct.error) as error:
        raise DecodeError(f"not a recommendations record: {error}") from error
    if feature_bytes != candidates * slate.row_bytes:
        raise PoisonError(
            "bad_features",
            f"{feature_bytes} bytes of features; expected {candidates} candidates of {slate.row_bytes} bytes each",
        )
    return slate


def _walk(raw: bytes, message: Message, is_first_version: bool) -> tuple[ServedSlate, int, int]:
    """The slate, the size of its features in bytes and its number of candidates."""
    request_id, at = read_string(raw, HEADER_BYTES)
    user_id, at = read_string(raw, at)
    scenario, at = read_string(raw, at)
    requested_at, at = read_long(raw, at)
    served_at, at = read_long(raw, at)
    model_version, at = read_long(raw, at)
    _, at = read_string(raw, at)
    _, at = read_string(raw, at)
    applied_offset, items_start = read_long(raw, at)
    candidates_start = _skip_items(raw, items_start)
    candidates, features_start = skip_strings(raw, candidates_start)
    feature_bytes, at = read_long(raw, features_start)
    if feature_bytes < 0:
        raise ValueError(f"{feature_bytes} bytes of features; expected 0 or more")
    names, at = (EMPTY, at + feature_bytes) if is_first_version else _read_names(raw, at + feature_bytes)
    at = at if is_first_version else skip_strings(raw, at)[1]  # prediction_names
    contract, at = read_string(raw, at)
    refused, history_start = (False, at) if is_first_version else _skip_refusal(raw, at)
    end = _skip_history(raw, history_start)
    if end != len(raw):
        raise ValueError(f"{len(raw)} bytes; expected {end}")
    slate = ServedSlate(
        message.offset,
        message.timestamp_ms,
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
        items_start,
        candidates_start,
        features_start,
        history_start,
        refused,
    )
    return slate, feature_bytes, candidates


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


def _read_item(raw: bytes, at: int) -> tuple[SlateItem, int]:
    """An item of a slate that has been walked. Lengths of one byte, the common case, are read without a function call."""
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
    """The encoded names of the features and the offset after them; equal names are one object, to save memory."""
    if raw.startswith(
        _CURRENT_NAMES, at
    ):  # encoded arrays end with a marker, so that an equal prefix is an equal array
        return _CURRENT_NAMES, at + len(_CURRENT_NAMES)
    _, end = skip_strings(raw, at)
    return _interned(raw[at:end]), end


@lru_cache(maxsize=16)
def _number_of_features(names: bytes) -> int:
    """Number of features; a record without names has those of the last contract that did not name them."""
    return len(read_strings(names, 0)[0]) or len(LEGACY_FEATURES)


@lru_cache(maxsize=16)
def _interned(names: bytes) -> bytes:
    return names


def _skip_refusal(raw: bytes, at: int) -> tuple[bool, int]:
    """Whether there is a refusal, and the offset after it."""
    branch, at = read_long(raw, at)
    if branch not in (0, 1):
        raise ValueError(f"union branch {branch} of `refusal`; expected 0 or 1")
    for _ in range(3 * branch):
        at = skip_string(raw, at)
    return bool(branch), at


def _convert(payload: bytes) -> bytes:
    """Convert a record of another version to the layout of `_walk`. Raises DecodeError."""
    record = Codec.of(Recommendations).decode(payload)
    out = io.BytesIO()
    out.write(_LAYOUT_HEADER)
    fastavro.schemaless_writer(out, _LAYOUT, record)
    return out.getvalue()
