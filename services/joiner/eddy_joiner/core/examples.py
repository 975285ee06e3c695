"""Outcomes as training examples: Avro bytes assembled from the bytes of their slate.

The layout is version 4 of training_example.avsc. Readers accept former versions, so this file may lag behind a newer schema.
"""

from eddy.contract.avro.values import (
    EMPTY,
    FALSE,
    NULL,
    SOME,
    TRUE,
    pack_bytes,
    pack_float,
    pack_long,
    pack_name,
    pack_string,
)
from eddy.contract.codec import frozen_header
from eddy_joiner.core.outcomes import Example, Impression, Negative, NextItemOutcome, Positive, Upgrade
from eddy_joiner.core.slates import ServedSlate

_HEADER = frozen_header("training_example", 4)
_ONE = pack_long(1)


def user_of(outcome: Example) -> str:
    """The key of the example."""
    return outcome.event.user_id if isinstance(outcome, NextItemOutcome) else outcome.slate.user_id


def encode_example(outcome: Example, labelled_at: int) -> bytes:
    """Encode an outcome as a `training_example` record. Equal outcomes give equal bytes except for `labelled_at` (wall clock, ms)."""
    if isinstance(outcome, NextItemOutcome):
        return _next_item(outcome, labelled_at)
    if isinstance(outcome, Negative):
        return _negative(outcome, labelled_at)
    return _positive(outcome, labelled_at)


def _positive(outcome: Positive | Upgrade, labelled_at: int) -> bytes:
    slate, impression, event = outcome.slate, outcome.impression, outcome.event
    item_id = impression.item.item_id
    if isinstance(outcome, Positive):
        kind, example_id = "label", f"{slate.request_id}/{item_id}/label"
    else:
        kind, example_id = "upgrade", f"{slate.request_id}/{item_id}/{event.action}/upgrade"
    return b"".join(
        (
            _head(example_id, kind, slate.user_id, slate.scenario, slate.request_id, event.event_id),
            _ONE,
            _item(item_id, impression, 1, event.action, event.value),
            EMPTY,
            pack_bytes(_rows(slate, [impression])),
            EMPTY,
            EMPTY,
            slate.feature_names,
            SOME,
            slate.encoded_history(),
            _tail(event.occurred_at, impression, labelled_at, slate),
            FALSE,
            SOME + pack_long(event.message.timestamp_ms),
        )
    )


def _negative(outcome: Negative, labelled_at: int) -> bytes:
    slate, impressions = outcome.slate, outcome.impressions
    first = impressions[0]
    example_id = f"{slate.request_id}/negatives/{first.item.position}"
    return b"".join(
        (
            _head(example_id, "label", slate.user_id, slate.scenario, slate.request_id, None),
            pack_long(len(impressions)),
            *[_item(impression.item.item_id, impression, 0, "", 0.0) for impression in impressions],
            EMPTY,
            pack_bytes(_rows(slate, impressions)),
            EMPTY,
            EMPTY,
            slate.feature_names,
            SOME,
            slate.encoded_history(),
            _tail(first.until, first, labelled_at, slate),
            FALSE,
            NULL,
        )
    )


def _next_item(outcome: NextItemOutcome, labelled_at: int) -> bytes:
    event, slate, impression = outcome.event, outcome.slate, outcome.impression
    assert event.item_id is not None
    request_id = slate.request_id if slate is not None and impression is not None else None
    return b"".join(
        (
            _head(f"{event.event_id}/next", "next_item", event.user_id, event.scenario, request_id, event.event_id),
            _ONE,
            _item(event.item_id, impression, 1, event.action, event.value),
            EMPTY,
            pack_bytes(_candidate_row(slate, event.item_id)),
            EMPTY if slate is None else slate.encoded_candidates(),
            EMPTY if slate is None else pack_bytes(slate.features()),
            EMPTY if slate is None else slate.feature_names,
            NULL if outcome.history_slate is None else SOME + outcome.history_slate.encoded_history(),
            _tail(event.occurred_at, impression, labelled_at, slate),
            TRUE if outcome.superseded else FALSE,
            SOME + pack_long(event.message.timestamp_ms),
        )
    )


def _head(
    example_id: str, kind: str, user_id: str, scenario: str, request_id: str | None, event_id: str | None
) -> bytes:
    return b"".join(
        (
            _HEADER,
            pack_string(example_id),
            pack_name(kind),
            pack_string(user_id),
            pack_name(scenario),
            NULL if request_id is None else SOME + pack_string(request_id),
            NULL if event_id is None else SOME + pack_string(event_id),
        )
    )


def _item(item_id: str, impression: Impression | None, label: int, action: str, value: float) -> bytes:
    position, propensity = (-1, 0.0) if impression is None else (impression.item.position, impression.item.propensity)
    return b"".join(
        (
            pack_string(item_id),
            pack_long(position),
            pack_float(propensity),
            pack_long(label),
            pack_name(action),
            pack_float(value),
        )
    )


def _tail(occurred_at: int, impression: Impression | None, labelled_at: int, slate: ServedSlate | None) -> bytes:
    return b"".join(
        (
            pack_long(occurred_at),
            NULL if impression is None else SOME + pack_long(impression.shown_at),
            pack_long(labelled_at),
            EMPTY if slate is None else pack_long(slate.model_version),
            EMPTY if slate is None else pack_name(slate.contract),
        )
    )


def _rows(slate: ServedSlate, impressions: list[Impression]) -> bytes:
    """Feature rows of the impressions, in their order; zeros for an item that is not among the candidates."""
    features = slate.features()
    if len(impressions) == 1:
        return _row(slate, features, slate.row_of(impressions[0].item.item_id))
    rows = {item_id: row for row, item_id in enumerate(slate.candidates())}
    return b"".join([_row(slate, features, rows.get(impression.item.item_id)) for impression in impressions])


def _row(slate: ServedSlate, features: bytes, row: int | None) -> bytes:
    size = slate.row_bytes
    return bytes(size) if row is None else features[row * size : (row + 1) * size]


def _candidate_row(slate: ServedSlate | None, item_id: str) -> bytes:
    """The feature row of the item; empty if it is not among the candidates."""
    row = None if slate is None else slate.row_of(item_id)
    return b"" if slate is None or row is None else _row(slate, slate.features(), row)
