"""The sequence store, compared with Python lists."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from eddy.contract.model import HISTORY
from eddy_trainer.core.sequences import SEQUENCE_LENGTH, SequenceStore
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
