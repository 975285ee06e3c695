"""Which rows are published with a release."""

import numpy as np

from eddy.contract.model import DIM
from eddy_trainer.shell.releases import ROW_TOLERANCE, ROWS_PER_RELEASE, changed_rows, reused_rows


def rows(count: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.zeros((count, DIM), np.float32)


def test_first_release_has_every_row_except_padding() -> None:
    changed, remaining = changed_rows(rows(0), rows(4))
    assert (changed.tolist(), remaining) == ([1, 2, 3], 0)


def test_moved_and_new_rows_are_published() -> None:
    before, after = rows(5), rows(7)
    after[2, 0] = 2 * ROW_TOLERANCE
    after[3, 0] = ROW_TOLERANCE / 2
    changed, remaining = changed_rows(before, after)
    assert (changed.tolist(), remaining) == ([2, 5, 6], 0)


def test_the_rows_that_moved_most_are_published_first() -> None:
    before, after = rows(ROWS_PER_RELEASE + 101), rows(ROWS_PER_RELEASE + 103)
    after[1:, 0] = np.linspace(1, 2, len(after) - 1)
    changed, remaining = changed_rows(before, after)
    assert (changed.tolist(), remaining) == (list(range(101, ROWS_PER_RELEASE + 103)), 100)


def test_rows_of_other_items_are_reused() -> None:
    assert reused_rows([], ["", "a", "b"]) == []
    assert reused_rows(["", "a", "b"], ["", "a", "b", "c"]) == []
    assert reused_rows(["", "a", "b", "c"], ["", "", "b", "d"]) == [1, 3]
