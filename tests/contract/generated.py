"""Generated events and requests: valid ones, each field at its limits, and combinations by hypothesis."""

from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

from eddy.contract.codec import Record
from eddy.contract.limits import (
    MAX_AHEAD_MS,
    MAX_ATTRIBUTES,
    MAX_ID_CHARS,
    MAX_POSITION,
    MAX_QUERY_CHARS,
    MAX_SLATE,
    MAX_TEXT_CHARS,
)
from eddy.contract.scenarios import load_scenarios
from eddy.paths import REPO_ROOT

NOW_MS = 1_750_000_000_000
LONG = 2**63
SCENARIOS = load_scenarios(REPO_ROOT / "scenarios.yaml")
_ACTIONS = sorted({action for scenario in SCENARIOS.scenarios.values() for action in scenario.actions})


def _texts(most: int) -> list[str]:
    """Texts on both sides of a limit, of characters of one to four bytes; and the empty one."""
    lengths = (0, 1, most - 1, most, most + 1, most + 50)
    return [char * length for length in lengths for char in ("a", "é", "🎬")]


_IDS = [*_texts(MAX_ID_CHARS), " ", "\x00", "\n", "a/b", "%2F"]
_NAMES = [*SCENARIOS.scenarios, *_ACTIONS, "", "Video", "video ", "impression/", "x" * 300]
_LONGS = [-LONG, -1, 0, 1, NOW_MS, NOW_MS + MAX_AHEAD_MS, NOW_MS + MAX_AHEAD_MS + 1, LONG - 1]
_ATTRIBUTES: list[dict[str, str]] = [
    *({name: "x"} for name in _texts(MAX_ID_CHARS)),
    *({"x": value} for value in _texts(MAX_TEXT_CHARS)),
    *({str(number): "x" for number in range(count)} for count in (MAX_ATTRIBUTES, MAX_ATTRIBUTES + 1)),
]
EVENT_FIELDS: dict[str, list[Any]] = {
    "event_id": _IDS,
    "user_id": _IDS,
    "scenario": _NAMES,
    "action": _NAMES,
    "item_id": [None, *_IDS],
    "value": [float("nan"), float("inf"), -float("inf"), -1.0, 0.0, 4.5, 5e-324, 1e308],
    "query": _texts(MAX_TEXT_CHARS),
    "request_id": _IDS,
    "position": [-(2**31), -1, 0, 1, MAX_POSITION],
    "occurred_at": _LONGS,
    "attributes": _ATTRIBUTES,
}
REQUEST_FIELDS: dict[str, list[Any]] = {
    "user_id": _IDS,
    "scenario": _NAMES,
    "limit": [-(2**31), -1, 0, 1, MAX_SLATE, MAX_SLATE + 1, 2**31 - 1],
    "query": _texts(MAX_QUERY_CHARS),
    "after_offset": _LONGS,
    "exclude": [["a", name] for name in _IDS],
}
EVENT: Record = {
    "event_id": "e1",
    "user_id": "u1",
    "scenario": "video",
    "action": "click",
    "item_id": "i1",
    "value": None,
    "query": None,
    "request_id": None,
    "position": None,
    "occurred_at": NOW_MS,
    "attributes": {},
}
REQUEST: Record = {
    "request_id": "r1",
    "user_id": "u1",
    "scenario": "video",
    "limit": 10,
    "query": None,
    "candidates": None,
    "exclude": [],
    "after_offset": None,
    "deadline_at": None,
    "requested_at": NOW_MS,
}


def broken_in_one(record: Record, fields: dict[str, list[Any]]) -> Iterator[Record]:
    """The record with one field replaced, by each of its edges."""
    for name, edges in fields.items():
        for edge in edges:
            yield {**record, name: edge}


@st.composite
def events(draw: st.DrawFn) -> Record:
    """A `user_event` record: any known action of any scenario, with up to three fields replaced by edges or any other value."""
    scenario = draw(st.sampled_from(sorted(SCENARIOS.scenarios)))
    action = draw(st.sampled_from(sorted(SCENARIOS[scenario].actions)))
    replaced = draw(_replaced(EVENT_FIELDS))
    value = draw(st.none() | st.floats()) if "value" not in replaced else replaced["value"]
    return {**EVENT, "scenario": scenario, "action": action, **replaced, "value": value}


@st.composite
def requests(draw: st.DrawFn) -> Record:
    """A `recommendation_request` record that can be asked over HTTP too, with up to three fields replaced by edges."""
    return {
        **REQUEST,
        "scenario": draw(st.sampled_from(sorted(SCENARIOS.scenarios))),
        **draw(_replaced(REQUEST_FIELDS)),
    }


def keys(record: Record) -> st.SearchStrategy[bytes | None]:
    """The message key: mostly the right one."""
    right = record["user_id"].encode()
    return st.sampled_from([right, right, right, None, b"", b"u2", right.upper(), right + b" "])


@st.composite
def _replaced(draw: st.DrawFn, fields: dict[str, list[Any]]) -> Record:
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True))
    return {name: draw(st.sampled_from(fields[name])) for name in names}
