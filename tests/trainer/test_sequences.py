"""The sequence store, compared with Python lists."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eddy.contract.model import HISTORY
from eddy_trainer.core.sequences import SEQUENCE_LENGTH, SequenceEntry, SequenceStore
from tests.trainer.factories import a_store


def padded(values: list[int], length: int) -> list[int]:
    return [0] * (length - len(values)) + values[len(values) - length if len(values) > length else 0 :]


@given(length=st.integers(1, 3 * SEQUENCE_LENGTH), back=st.integers(0, SEQUENCE_LENGTH - HISTORY))
def test_windows_are_the_last_interactions_and_their_successors(length: int, back: int) -> None:
    rows = list(range(1, length + 1))
    store = a_store({"u": rows})
    slots = np.array([0])
    back = min(back, int(store.rewindable(slots)[0]))
    windows = store.windows(slots, back)
    until = rows[: length - back]
    count = min(len(until), HISTORY)
    assert windows.targets[0].tolist() == until[-count:]
    kept = rows[-SEQUENCE_LENGTH:]
    inputs = [row for row in until[:-1] if row in kept]
    assert windows.rows[0].tolist() == padded(inputs, count)
    assert set(windows.earlier[0].tolist()) - {0} == set(inputs[:-count])
    assert ((windows.rows[0] == 0) | (windows.gaps[0] == 1.0)).all()


def test_windows_start_with_padding_before_the_first_interaction() -> None:
    windows = a_store({"u": [7, 8]}).windows(np.array([0]))
    assert windows.rows[0, -2:].tolist() == [0, 7]
    assert windows.targets[0, -2:].tolist() == [7, 8]


def test_a_new_user_replaces_the_one_inactive_longest() -> None:
    store = a_store({"a": [1, 2], "b": [3]}, max_users=2)
    store.append("a", [])
    slot = store.append("c", [])
    assert ("a" in store, "b" in store, "c" in store) == (True, False, True)
    assert not store.windows(np.array([slot])).targets.any()


def test_state_restores_sequences_and_their_order() -> None:
    store = a_store({"a": [1, 2], "b": list(range(1, SEQUENCE_LENGTH + 30))}, max_users=2)
    other = SequenceStore(2)
    other.restore(store.state())
    slots = np.array([0, 1])
    for name in ("rows", "targets", "gaps", "values", "earlier"):
        assert np.array_equal(getattr(store.windows(slots), name), getattr(other.windows(slots), name))
    other.append("c", [])
    assert "a" not in other


def test_latest_are_the_most_recently_active_users() -> None:
    store = a_store({"a": [1], "b": [2], "c": [3]})
    store.append("a", [])
    assert store.latest(2).tolist() == [0, 2]


def entry(at: int, row: int, action: int = 1) -> SequenceEntry:
    return SequenceEntry(row, action, 0, 1.0, at)


def kept(store: SequenceStore) -> list[tuple[int, int]]:
    """Row and time of the interactions that are kept of the first user, oldest first."""
    count = int(store.state()["count"][0])  # type: ignore[index]
    ring = np.arange(max(0, count - SEQUENCE_LENGTH), count) % SEQUENCE_LENGTH
    columns = (store.state()[name][0, ring].tolist() for name in ("rows", "at"))  # type: ignore[index]
    return list(zip(*columns, strict=True))


@given(
    times=st.lists(st.integers(1, 10**6), min_size=1, max_size=SEQUENCE_LENGTH + 60, unique=True),
    late=st.integers(0, 40),
)
def test_sequences_are_in_event_time(times: list[int], late: int) -> None:
    """Each interaction arrives at most `late` places after its successors."""
    arrived = [
        entry(at, at) for _, at in sorted((number + at % (late + 1), at) for number, at in enumerate(sorted(times)))
    ]
    store = SequenceStore(1)
    for each in arrived:
        store.append("u", [each])
    assert kept(store) == [(at, at) for at in sorted(times)][-SEQUENCE_LENGTH:]


def test_back_fill_displaces_nothing_recent() -> None:
    store = SequenceStore(1)
    recent = [entry(10_000 + number, 1 + number) for number in range(20)]
    store.append("u", [*recent, *[entry(number, 100 + number) for number in range(400)]])
    assert kept(store)[-20:] == [(each.row, each.at) for each in recent]
    assert [row for row, _ in kept(store)][:-20] == list(range(320, 500))


def test_a_run_of_one_item_is_one_interaction() -> None:
    store = SequenceStore(1)
    store.append("u", [entry(0, 9), *[entry(number, 7) for number in range(1, 300)], entry(400, 8)])
    assert kept(store) == [(9, 0), (7, 299), (8, 400)]
    store.append("u", [entry(350, 7, action=2), entry(360, 7), entry(355, 7)])
    assert kept(store) == [(9, 0), (7, 350), (7, 360), (8, 400)]


def test_a_run_in_a_full_ring() -> None:
    store = SequenceStore(1)
    store.append("u", [entry(number, number) for number in range(1, SEQUENCE_LENGTH + 50)])
    before = kept(store)
    last = before[-1][0]
    store.append("u", [entry(10**6, last), entry(10**6 + 1, last)])
    assert kept(store) == [*before[:-1], (last, 10**6 + 1)]
    store.append("u", [entry(before[0][1], 9999)])
    assert kept(store)[-1] == (last, 10**6 + 1)


@given(st.lists(st.integers(1, 6), max_size=2 * SEQUENCE_LENGTH), st.sets(st.integers(1, 6)))
def test_removed_items_leave_the_sequence_as_if_they_had_not_happened(rows: list[int], removed: set[int]) -> None:
    rows = [row for row, former in zip(rows, [0, *rows], strict=False) if row != former]  # a run is one interaction
    store = a_store({"v": [1, 2], "u": rows})
    store.remove_items(np.array(sorted(removed), np.int64))
    kept = [row for row in rows[-SEQUENCE_LENGTH:] if row not in removed]
    windows = store.windows(np.array([1]))
    assert [row for row in windows.targets[0].tolist() if row] == kept[-HISTORY:]
    store.append("u", [SequenceEntry(9, 1, 0, 0.5, 10**9)])
    assert store.windows(np.array([1])).targets[0].tolist()[-len(kept[-9:]) - 1 :] == [*kept[-9:], 9]
