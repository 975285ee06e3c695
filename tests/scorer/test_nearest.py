"""The approximate index finds the nearest rows, follows changed embeddings, and never finds ineligible rows."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

from eddy.contract.model import DIM, MAX_SCENARIOS, PADDING_ROW
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.state import nearest
from eddy_scorer.core.state.arrays import I64
from eddy_scorer.core.state.embedding_table import EmbeddingTable
from eddy_scorer.core.state.nearest import NearestItems, compact_rows
from tests.scorer.factories import item, recommend, request, scenarios, user_features
from tests.scorer.graphs import encode_graph, rank_graph

ROWS = 3000
VIDEO, MUSIC = (scenarios()[name].id for name in ("video", "music"))


def unit(rows: int, seed: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    vectors = np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def eligible(rows: int) -> "np.ndarray[tuple[int, int], np.dtype[np.bool_]]":
    """Rows that are eligible in all scenarios."""
    return np.ones((MAX_SCENARIOS, rows), bool)


def a_table(seed: int = 0) -> EmbeddingTable:
    table = EmbeddingTable()
    table.assign(np.arange(1, ROWS), unit(ROWS - 1, seed), np.zeros(ROWS - 1, np.float32), eligible(ROWS - 1))
    return table


def recall(index: NearestItems, table: EmbeddingTable, most: int = 40) -> float:
    users = unit(50, 9)
    rows, scores = index.search(users, VIDEO, most, table)
    exact = np.argsort(-(users @ table.vectors[:ROWS].T + table.scenario_bias[VIDEO, :ROWS]), axis=1)[:, :most]
    assert (np.diff(scores, axis=1) <= 0).all()
    return float(
        np.mean([len(set(one) & set(other)) / most for one, other in zip(rows.tolist(), exact.tolist(), strict=True)])
    )


def test_most_of_the_nearest_rows_are_found() -> None:
    table, index = a_table(), NearestItems()
    assert not index.ready
    assert index.update(table, ROWS) == ROWS - 1
    assert index.ready
    assert recall(index, table) > 0.9


def test_moved_embeddings_are_inserted_again_and_small_moves_are_not() -> None:
    table, index = a_table(), NearestItems()
    index.update(table, ROWS)
    table.vectors[1:1000] = unit(999, 5)
    table.vectors[1000:1100] += np.float32(0.001)
    assert index.update(table, ROWS) == 999
    assert recall(index, table) > 0.9


def test_ineligible_rows_are_not_found() -> None:
    table, index = a_table(), NearestItems()
    index.update(table, ROWS)
    for row in range(1, 1500):
        table.set_eligible(row, np.zeros(MAX_SCENARIOS, bool))
    assert index.update(table, ROWS) == 0
    rows, _ = index.search(unit(20, 3), VIDEO, 50, table)
    assert rows.min() >= 1500


def test_rows_are_found_in_their_scenarios_only_also_after_a_change() -> None:
    table, index = a_table(), NearestItems()
    in_music = np.arange(MAX_SCENARIOS) == MUSIC
    for row in range(1, 1000):
        table.set_eligible(row, in_music)
    for row in range(1000, 2000):
        table.set_eligible(row, ~in_music)
    assert index.update(table, ROWS) == ROWS - 1
    users = unit(20, 3)
    results = {scenario: index.search(users, scenario, 400, table)[0] for scenario in (VIDEO, MUSIC)}
    assert results[VIDEO].min() >= 1000
    assert not ((results[MUSIC] >= 1000) & (results[MUSIC] < 2000)).any()
    assert (results[MUSIC] >= 2000).any()
    assert (results[MUSIC] < 1000).any()
    for row in range(1, 1000):
        table.set_eligible(row, ~in_music)
    assert index.update(table, ROWS) == 999
    assert index.search(users, MUSIC, 400, table)[0].min() >= 2000
    assert (index.search(users, VIDEO, 400, table)[0] < 1000).any()


def test_no_row_disappears_while_items_change_their_scenarios(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a scenario is added, in which items without scenarios become eligible."""
    table, index = a_table(), NearestItems()
    all_but_music = np.arange(MAX_SCENARIOS) != MUSIC
    for row in range(1, ROWS):
        table.set_eligible(row, all_but_music)
    index.update(table, ROWS)
    users, results = unit(20, 3), list[int]()
    chunks = nearest._chunks

    def searching(rows: I64) -> Iterator[I64]:
        for chunk in chunks(rows):
            yield chunk
            found_rows, _ = index.search(users, VIDEO, 40, table)
            assert all(len(set(row)) == 40 for row in found_rows.tolist())
            results.append(int((found_rows != PADDING_ROW).sum()))

    monkeypatch.setattr(nearest, "_chunks", searching)
    for row in range(1, ROWS):
        table.set_eligible(row, np.ones(MAX_SCENARIOS, bool))
    assert index.update(table, ROWS) == ROWS - 1
    assert len(results) > 50
    assert min(results) == 20 * 40


def test_few_rows_are_padded() -> None:
    table, index = EmbeddingTable(), NearestItems()
    table.assign(np.array([3, 4]), unit(2, 0), np.zeros(2, np.float32), eligible(2))
    index.update(table, 10)
    rows, _ = index.search(unit(2, 1), VIDEO, 5, table)
    assert [sorted(row) for row in rows.tolist()] == [[PADDING_ROW] * 3 + [3, 4]] * 2


def test_compact_rows_keep_the_vectors_of_the_history() -> None:
    vectors = unit(500, 0)
    vectors[PADDING_ROW] = 0
    history = np.array([[0, 0, 7, 400], [0, 7, 7, 9]])
    table, indices = compact_rows(history, vectors, 256)
    assert len(table) == 256
    assert np.array_equal(table[indices], vectors[history])
    assert (indices[history == 0] == 0).all()


def test_index_proposes_the_candidates_of_an_exact_search() -> None:
    results = []
    for approximate_from in (0, 100):
        engine = Recommender(scenarios(), np.random.default_rng(0), lambda: 0.0, approximate_from=approximate_from)
        names = [f"m{number}" for number in range(1, 301)]
        for name in names:
            engine.apply_item(item(name))
        engine.set_embeddings(names, unit(300, 0), np.zeros(300, np.float32))
        engine.model = OnnxModel(1, encode_graph(), rank_graph({"encoder_score": 1.0}))
        engine.apply_user_features(user_features("u", ["m5", "m70", "m200"]))
        engine.state.rebuild()
        assert engine.state.nearest.ready == (approximate_from > 0)
        (record,) = recommend(engine, request(limit=10))
        results.append([entry["item_id"] for entry in record["items"] if entry["source"] == "encoder"])
    assert len(results[0]) > 5
    assert len(set(results[0]) & set(results[1])) >= len(results[0]) - 2
    assert not {"m5", "m70", "m200"} & set(results[1])


def test_index_works_with_items_added_since_its_last_update() -> None:
    """The catalogue grows beyond the rows of the index between two rebuilds."""
    engine = an_indexed_engine(255)
    engine.apply_user_features(user_features("u", ["m5", "never published"]))
    (record,) = engine.recommend([request(limit=5)], 0)
    assert len(record["items"]) == 5


def test_index_follows_eligibility() -> None:
    now = 0.0
    engine = an_indexed_engine(300, lambda: now)
    state = engine.state
    for available in (False, True):
        now += 60.0
        engine.apply_item(item("m7", available=available))
        build = state.rebuilds.due_nearest()
        assert build is not None
        build()
        vectors = state.table.vectors[[state.catalogue.find("m7")]]
        rows, _ = state.nearest.search(vectors, VIDEO, 1, state.table)
        assert (rows[0, 0] == state.catalogue.find("m7")) == available


def an_indexed_engine(items: int, clock: Callable[[], float] = lambda: 0.0) -> Recommender:
    engine = Recommender(scenarios(), np.random.default_rng(0), clock, approximate_from=100)
    names = [f"m{number}" for number in range(1, items + 1)]
    for name in names:
        engine.apply_item(item(name))
    engine.set_embeddings(names, unit(items, 0), np.zeros(items, np.float32))
    engine.model = OnnxModel(1, encode_graph(), rank_graph({"encoder_score": 1.0}))
    engine.state.rebuild()
    return engine
