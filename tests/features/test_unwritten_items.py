"""Items that were only shown are written later: nothing is lost or counted twice, whenever batches end and the worker is killed."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.topics import ITEM_SIGNALS
from eddy_features.core.states import DictRecords
from eddy_features.core.unwritten_items import Change, UnwrittenItems
from tests.features.factories import START_MS
from tests.features.reference import item_updater

pytestmark = pytest.mark.unit

WAIT_SEC = 10.0
SHOWN, CLICKED = Change(0, only_shown=True), Change(0, only_shown=False)

# An item, and what a message says of it: impressions, clicks, both, or an erasure; with the source partition of its events.
SPECS = st.lists(
    st.tuples(
        st.sampled_from("abcd"), st.sampled_from(["shown", "shown", "clicked", "both", "erased"]), st.integers(0, 1)
    ),
    min_size=1,
    max_size=40,
)


def log_of(specs: Sequence[tuple[str, str, int]]) -> list[Message]:
    """A partition of `item_signals`."""
    codec, log = Codec.of("item_signals"), []
    for offset, (item, kind, source) in enumerate(specs):
        actions = {"shown": ["impression"] * 2, "clicked": ["click"], "both": ["impression", "click"], "erased": []}[
            kind
        ]
        entries = [
            {
                **{
                    "offset": offset * 2 + number,
                    "at": START_MS + offset * 60_000,
                    "scenario": "video",
                    "action": action,
                },
                **{"previous": ["x", "y"] if action == "click" else [], "value": None, "former_value": None},
                **{"repeats": 0.0, "known": 1.0, "positive": True, "young": False},
            }
            for number, action in enumerate(actions)
        ]
        value = codec.encode({"item_id": item, "source_partition": source, "entries": entries}) if entries else b""
        log.append(Message(ITEM_SIGNALS, 0, offset, item.encode(), value, 0, tombstone=not entries))
    return log


class Worker:
    """Item updates as in the service, on records and a commit that outlive it."""

    def __init__(self, records: DictRecords, maximum: int) -> None:
        self.items = item_updater(records, capacity=1)
        self.unwritten = UnwrittenItems(WAIT_SEC, maximum)

    def handle(self, batch: list[Message], now: float, written: int | None = None) -> int | None:
        """Handle a batch; returns what may be committed, or None after a crash, which leaves only the first `written` of the records."""
        if batch:
            self.unwritten.add(0, self.items.apply(0, batch).changes, batch[-1].offset + 1, now)
        due = self.unwritten.due(now)
        records = self.items.records(0, due.get(0, []))
        for key, value in records if written is None else records[:written]:
            self.items.states.store(0, key, value)
        if written is not None:
            return None
        positions = self.unwritten.written(due)
        self.items.states.evict(self.unwritten.holds)
        return positions.get(0)


def one_by_one(log: Sequence[Message]) -> dict[tuple[int, bytes], bytes]:
    """The records after each message was written before the next one was read."""
    records = DictRecords()
    worker = Worker(records, 0)
    for message in log:
        worker.handle([message], now=0.0)
    return records.records


# Messages of a batch, seconds before it, records that are written before a crash (None: no crash), and whether Faust commits after it.
TURNS = st.lists(
    st.tuples(st.integers(0, 8), st.sampled_from([0.1, 1.0, 11.0]), st.none() | st.integers(0, 4), st.booleans()),
    max_size=30,
)


@settings(max_examples=60, deadline=None)
@given(SPECS, TURNS, st.integers(0, 4))
def test_any_batches_and_any_crash_give_the_records_of_one_by_one(
    specs: list[tuple[str, str, int]], turns: list[tuple[int, float, int | None, bool]], maximum: int
) -> None:
    log, records = log_of(specs), DictRecords()
    worker, position, committed, now = Worker(records, maximum), 0, 0, 0.0
    for count, seconds, crash, commits in turns:
        now += seconds
        batch = log[position : position + count]
        processed = worker.handle(batch, now, crash)
        position += len(batch)
        if crash is not None:
            worker, position = Worker(records, maximum), committed
        elif commits and processed is not None:
            assert committed <= processed <= position
            committed = processed
        assert len(worker.unwritten) <= maximum
    worker.handle(log[position:], now)
    assert (worker.handle([], now + WAIT_SEC) or committed) == len(log)
    assert records.records == one_by_one(log)


def test_an_item_that_was_only_shown_waits_and_one_with_an_interaction_does_not() -> None:
    unwritten = UnwrittenItems(WAIT_SEC, maximum=100)
    unwritten.add(3, {b"a": SHOWN, b"b": CLICKED, b"c": SHOWN}, end=5, now=0.0)
    assert unwritten.is_due(0.0)
    assert unwritten.due(0.0) == {3: [b"b"]}
    unwritten.written({3: [b"b"]})
    assert not unwritten.is_due(9.9)
    unwritten.add(3, {b"a": CLICKED._replace(offset=6), b"c": SHOWN._replace(offset=7)}, end=8, now=9.9)
    assert unwritten.due(9.9) == {3: [b"a"]}
    assert unwritten.due(10.0) == {3: [b"a", b"c"]}


def test_no_offset_of_an_item_that_waits_is_committed() -> None:
    """Not even the first one of an item that was changed again, while newer ones are written."""
    unwritten = UnwrittenItems(WAIT_SEC, maximum=100)
    unwritten.add(0, {b"a": Change(4, only_shown=True), b"b": Change(6, only_shown=True)}, end=9, now=0.0)
    unwritten.add(0, {b"c": Change(9, only_shown=False), b"a": Change(10, only_shown=True)}, end=12, now=1.0)
    unwritten.add(1, {}, end=30, now=1.0)
    assert unwritten.written({0: [b"c"]}) == {0: 4, 1: 30}
    assert unwritten.written({0: [b"a"]}) == {0: 6, 1: 30}
    assert unwritten.written({0: [b"b"]}) == {0: 12, 1: 30}


def test_a_bounded_number_of_items_waits_and_the_oldest_are_written_first() -> None:
    unwritten = UnwrittenItems(WAIT_SEC, maximum=2)
    unwritten.add(1, {b"new": Change(1, only_shown=True)}, end=2, now=5.0)
    unwritten.add(0, {name: Change(1, only_shown=True) for name in (b"a", b"b", b"c")}, end=9, now=4.0)
    assert unwritten.due(5.0) == {0: [b"a", b"b"], 1: []}
    unwritten.clear()
    assert len(unwritten) == 0
    assert not unwritten.is_due(1e9)
