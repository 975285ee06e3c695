"""Which rows go with a release."""

import numpy as np

from eddy.contract.model import DIM
from eddy_trainer.shell.releases import ROW_TOLERANCE, ROWS_PER_RELEASE, changed_rows


def rows(count: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    return np.zeros((count, DIM), np.float32)


def test_first_release_has_every_row_but_the_padding() -> None:
    changed, left = changed_rows(rows(0), rows(4))
    assert (changed.tolist(), left) == ([1, 2, 3], 0)


def test_rows_that_moved_and_new_ones_are_published() -> None:
    before, after = rows(5), rows(7)
    after[2, 0] = 2 * ROW_TOLERANCE
    after[3, 0] = ROW_TOLERANCE / 2
    changed, left = changed_rows(before, after)
    assert (changed.tolist(), left) == ([2, 5, 6], 0)


def test_of_many_rows_those_go_that_moved_most() -> None:
    before, after = rows(ROWS_PER_RELEASE + 101), rows(ROWS_PER_RELEASE + 103)
    after[1:, 0] = np.linspace(1, 2, len(after) - 1)
    changed, left = changed_rows(before, after)
    assert (changed.tolist(), left) == (list(range(101, ROWS_PER_RELEASE + 103)), 100)
