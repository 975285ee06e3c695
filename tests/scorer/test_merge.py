"""Interleaving of sources."""

import numpy as np

from eddy_scorer.core.ranking.merge import SourceMerger, contained
from tests.scorer.factories import scenarios

NAMES = ("encoder", "covisited", "trending", "fresh")
VIDEO, SOCIAL = 0, 2


def _merge(
    proposed: dict[str, list[int]], fill: list[int], scenario: int = VIDEO, limit: int = 60
) -> tuple[list[int], list[int]]:
    merge = SourceMerger(scenarios(), NAMES)
    rows = {name: np.array([proposed.get(name, [])], np.int64) for name in NAMES}
    merged, sources = merge.merge(rows, np.array([fill], np.int64), np.array([scenario]), np.array([limit]))
    return merged[0].tolist(), sources[0].tolist()


def test_every_source_gets_positions_in_proportion() -> None:
    rows, sources = _merge(
        {"encoder": list(range(1, 41)), "covisited": list(range(41, 71)), "trending": list(range(71, 81))}, []
    )
    assert len(rows) == 60
    shares = np.bincount(sources, minlength=3)
    assert shares.tolist() == [30, 23, 7] or abs(shares[0] - 30) <= 1


def test_duplicates_are_credited_to_the_first() -> None:
    rows, sources = _merge({"encoder": [5, 6], "covisited": [5, 7]}, [6, 8])
    assert sorted(rows) == [5, 6, 7, 8]
    assert dict(zip(rows, sources, strict=True)) == {5: 0, 6: 0, 7: 1, 8: 4}


def test_fill_comes_last_and_up_to_the_limit() -> None:
    assert _merge({"trending": [9]}, [1, 2, 3, 4], limit=3)[0] == [9, 1, 2]


def test_quota_of_the_scenario_applies() -> None:
    fresh = list(range(1, 11))
    assert len(_merge({"fresh": fresh}, [], VIDEO)[0]) == 3
    assert len(_merge({"fresh": fresh}, [], SOCIAL)[0]) == 10


def test_rows_of_different_length_are_padded() -> None:
    merge = SourceMerger(scenarios(), NAMES)
    proposed = {name: np.zeros((2, 0), np.int64) for name in NAMES} | {"trending": np.array([[1, 2], [3, 0]])}
    rows, _ = merge.merge(proposed, np.zeros((2, 0), np.int64), np.array([VIDEO, VIDEO]), np.array([60, 60]))
    assert rows.tolist() == [[1, 2], [3, 0]]


def test_contained_compares_within_the_row() -> None:
    assert contained(np.array([[1, 2], [1, 2]]), np.array([[2], [1]])).tolist() == [[False, True], [True, False]]
