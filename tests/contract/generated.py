"""Events and requests as hypothesis makes them: usable ones, and such as are broken in one or two places."""

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


def _texts(most: int) -> st.SearchStrategy[str]:
    """Texts on both sides of a limit, of characters of one to four bytes; and the empty one."""
    lengths = st.sampled_from([0, 1, 2, most - 1, most, most + 1, most + 50])
    return st.builds(lambda length, char: char * length, lengths, st.sampled_from(["a", " ", "\x00", "é", "語", "🎬"]))


_ids = _texts(MAX_ID_CHARS)
_names = st.one_of(st.sampled_from([*SCENARIOS.scenarios, *_ACTIONS, "", "Video", "video ", "impression/"]), _ids)
_values = st.one_of(
    st.none(), st.floats(width=64), st.sampled_from([float("nan"), float("inf"), -float("inf"), -1.0, 5e-324, 1e308])
)
_longs = st.sampled_from([-LONG, -1, 0, 1, NOW_MS, NOW_MS + MAX_AHEAD_MS, NOW_MS + MAX_AHEAD_MS + 1, LONG - 1])
_attributes = st.one_of(
    st.dictionaries(_ids, _texts(MAX_TEXT_CHARS), max_size=2),
    st.sampled_from([MAX_ATTRIBUTES, MAX_ATTRIBUTES + 1]).map(
        lambda count: {str(number): "x" for number in range(count)}
    ),
)
_EVENT_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "event_id": _ids,
    "user_id": _ids,
    "scenario": _names,
    "action": _names,
    "item_id": st.none() | _ids,
    "value": _values,
    "query": st.none() | _texts(MAX_TEXT_CHARS),
    "request_id": st.none() | _ids,
    "position": st.sampled_from([None, -(2**31), -1, 0, 1, MAX_POSITION]),
    "occurred_at": _longs,
    "attributes": _attributes,
}
_REQUEST_FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "user_id": _ids,
    "scenario": _names,
    "limit": st.sampled_from([-(2**31), -1, 0, 1, MAX_SLATE, MAX_SLATE + 1, 2**31 - 1]),
    "query": st.none() | _texts(MAX_QUERY_CHARS),
    "after_offset": st.none() | _longs,
    "exclude": st.lists(_ids, max_size=3),
}


@st.composite
def events(draw: st.DrawFn) -> Record:
    """A `user_event` record: a known action on an item, of which up to two fields are replaced by anything."""
    scenario = draw(st.sampled_from(sorted(SCENARIOS.scenarios)))
    event = {
        "event_id": "e1",
        "user_id": "u1",
        "scenario": scenario,
        "action": draw(st.sampled_from(sorted(SCENARIOS[scenario].actions))),
        "item_id": "i1",
        "value": None,
        "query": None,
        "request_id": None,
        "position": None,
        "occurred_at": NOW_MS,
        "attributes": {},
    }
    return event | _replaced(draw, _EVENT_FIELDS)


@st.composite
def requests(draw: st.DrawFn) -> Record:
    """A `recommendation_request` record that can be asked over HTTP too, with up to two fields replaced by anything."""
    request = {
        "request_id": "r1",
        "user_id": "u1",
        "scenario": draw(st.sampled_from(sorted(SCENARIOS.scenarios))),
        "limit": 10,
        "query": None,
        "candidates": None,
        "exclude": [],
        "after_offset": None,
        "deadline_at": None,
        "requested_at": NOW_MS,
    }
    return request | _replaced(draw, _REQUEST_FIELDS)


def keys(record: Record) -> st.SearchStrategy[bytes | None]:
    """The message key: mostly the right one."""
    right = record["user_id"].encode()
    return st.sampled_from([right, right, right, None, b"", b"u2", right.upper(), right + b" "])


def _replaced(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]]) -> Record:
    names = draw(st.lists(st.sampled_from(sorted(fields)), max_size=2, unique=True))
    return {name: draw(fields[name]) for name in names}
