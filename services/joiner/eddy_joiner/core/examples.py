"""Outcomes as training examples: Avro bytes put together from the parts of the list that they come from.

The layout is version 4 of training_example.avsc; readers know former versions, so a newer schema may wait for this file.
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
    return outcome.event.user_id if isinstance(outcome, NextItemOutcome) else outcome.served.user_id


def encode_example(outcome: Example, labelled_at: int) -> bytes:
    """The `training_example` record of an outcome; the same outcome gives the same bytes but for `labelled_at` (wall clock, ms)."""
    if isinstance(outcome, NextItemOutcome):
        return _next_item(outcome, labelled_at)
    if isinstance(outcome, Negative):
        return _negative(outcome, labelled_at)
    return _positive(outcome, labelled_at)


def _positive(outcome: Positive | Upgrade, labelled_at: int) -> bytes:
    served, place, event = outcome.served, outcome.place, outcome.event
    item = place.listed.item_id
    if isinstance(outcome, Positive):
        kind, example_id = "label", f"{served.request_id}/{item}/label"
    else:
        kind, example_id = "upgrade", f"{served.request_id}/{item}/{event.action}/upgrade"
    return b"".join(
        (
            _head(example_id, kind, served.user_id, served.scenario, served.request_id, event.event_id),
            _ONE,
            _item(item, place, 1, event.action, event.value),
            EMPTY,
            pack_bytes(_rows(served, [place])),
            EMPTY,
            EMPTY,
            served.feature_names,
            SOME,
            served.history_encoded(),
            _tail(event.occurred_at, place, labelled_at, served),
            FALSE,
            SOME + pack_long(event.message.timestamp_ms),
        )
    )


def _negative(outcome: Negative, labelled_at: int) -> bytes:
    served, impressions = outcome.served, outcome.impressions
    first = impressions[0]
    example_id = f"{served.request_id}/negatives/{first.listed.position}"
    return b"".join(
        (
            _head(example_id, "label", served.user_id, served.scenario, served.request_id, None),
            pack_long(len(impressions)),
            *[_item(place.listed.item_id, place, 0, "", 0.0) for place in impressions],
            EMPTY,
            pack_bytes(_rows(served, impressions)),
            EMPTY,
            EMPTY,
            served.feature_names,
            SOME,
            served.history_encoded(),
            _tail(first.until, first, labelled_at, served),
            FALSE,
            NULL,
        )
    )


def _next_item(outcome: NextItemOutcome, labelled_at: int) -> bytes:
    event, served, place = outcome.event, outcome.served, outcome.place
    assert event.item_id is not None
    request_id = served.request_id if served is not None and place is not None else None
    return b"".join(
        (
            _head(f"{event.event_id}/next", "next_item", event.user_id, event.scenario, request_id, event.event_id),
            _ONE,
            _item(event.item_id, place, 1, event.action, event.value),
            EMPTY,
            pack_bytes(_row_of(served, event.item_id)),
            EMPTY if served is None else served.considered_encoded(),
            EMPTY if served is None else pack_bytes(served.features()),
            EMPTY if served is None else served.feature_names,
            NULL if outcome.history_of is None else SOME + outcome.history_of.history_encoded(),
            _tail(event.occurred_at, place, labelled_at, served),
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


def _item(item_id: str, place: Impression | None, label: int, action: str, value: float) -> bytes:
    position, propensity = (-1, 0.0) if place is None else (place.listed.position, place.listed.propensity)
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


def _tail(occurred_at: int, place: Impression | None, labelled_at: int, served: ServedSlate | None) -> bytes:
    return b"".join(
        (
            pack_long(occurred_at),
            NULL if place is None else SOME + pack_long(place.shown_at),
            pack_long(labelled_at),
            EMPTY if served is None else pack_long(served.model_version),
            EMPTY if served is None else pack_name(served.contract),
        )
    )


def _rows(served: ServedSlate, impressions: list[Impression]) -> bytes:
    """Feature rows of shown items, in their order; a row of zeros for one that was not among the considered."""
    features = served.features()
    if len(impressions) == 1:
        return _row(served, features, served.row_of(impressions[0].listed.item_id))
    rows = {item_id: row for row, item_id in enumerate(served.considered())}
    return b"".join([_row(served, features, rows.get(place.listed.item_id)) for place in impressions])


def _row(served: ServedSlate, features: bytes, row: int | None) -> bytes:
    size = served.row_bytes
    return bytes(size) if row is None else features[row * size : (row + 1) * size]


def _row_of(served: ServedSlate | None, item_id: str) -> bytes:
    """The item's own features; empty where none are known."""
    row = None if served is None else served.row_of(item_id)
    return b"" if served is None or row is None else _row(served, served.features(), row)
