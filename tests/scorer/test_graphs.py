"""Graphs on onnxruntime: the contract, embeddings changed in place, graphs that must not serve."""

from typing import Any

import numpy as np
import pytest

from eddy.contract.legacy import LEGACY_ACTIONS, LEGACY_CONTRACT, LEGACY_FEATURES
from eddy.contract.model import ACTIONS, DIM, FEATURES, HISTORY, PADDING_BIAS, TOP_K, Columns
from eddy.errors import PoisonError
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.state.users import UserHistories
from tests.scorer.graphs import encode_graph, rank_graph, release

ROWS = 300


def _histories(rows: list[list[int]]) -> UserHistories:
    matrix = np.zeros((len(rows), HISTORY), np.int64)
    for line, own in enumerate(rows):
        matrix[line, HISTORY - len(own) :] = own
    floats = np.zeros(matrix.shape, np.float32)
    return UserHistories(
        matrix, np.zeros_like(matrix), floats, matrix, floats, matrix > 0, np.array([len(own) for own in rows])
    )


def _table() -> tuple[Any, Any]:
    table = np.random.default_rng(1).standard_normal((ROWS, DIM)).astype(np.float32)
    table[0] = 0.0
    bias = np.zeros(ROWS, np.float32)
    bias[0] = PADDING_BIAS
    return table, bias


def test_encode_scores_are_dot_products_without_excluded_rows() -> None:
    model = OnnxModel.load(release(1))
    table, bias = _table()
    users, scores, rows = model.encode(
        table, bias, _histories([[3, 4], []]), np.zeros(2, np.int64), np.array([[5, 6], [0, 0]])
    )
    assert users.shape == (2, DIM)
    assert scores.shape == rows.shape == (2, TOP_K)
    assert not {0, 5, 6} & set(rows[0].tolist())
    assert scores == pytest.approx(np.take_along_axis(users @ table.T + bias, rows, 1), abs=1e-3)


def test_changed_embedding_is_used_by_the_next_call() -> None:
    model = OnnxModel.load(release(1))
    table, bias = _table()
    inputs = (_histories([[3]]), np.zeros(1, np.int64), np.zeros((1, 1), np.int64))
    users, _, rows = model.encode(table, bias, *inputs)
    last = int(rows[0, -1])
    table[last] = users[0] * 100
    assert model.encode(table, bias, *inputs)[2][0, 0] == last
    bias[last] = PADDING_BIAS
    assert last not in model.encode(table, bias, *inputs)[2][0]


def test_rank_returns_a_score_and_a_prediction_for_each_action() -> None:
    model = OnnxModel.load(release(1, rank=rank_graph({"popularity": 2.0}, constant=0.5)))
    features = np.zeros((2, 4, len(FEATURES)), np.float32)
    features[..., FEATURES.index("popularity")] = [[1, 2, 3, 4], [4, 3, 2, 1]]
    scores, predictions = model.rank(features, np.zeros(2, np.int64))
    assert scores.tolist() == [[2, 4, 6, 8], [8, 6, 4, 2]]
    assert predictions.shape == (2, 4, len(ACTIONS))
    assert set(predictions.ravel().tolist()) == {0.5}


def test_features_are_matched_by_name() -> None:
    """The release has other columns in another order; a feature that the scorer does not have is missing."""
    columns = Columns(("trend", "popularity"), ("like",))
    rank = rank_graph({"popularity": 2.0, "trend": 1.0}, columns=columns)
    changes = {"rank": rank, "features": list(columns.features), "actions": list(columns.actions)}
    features = np.zeros((1, 2, len(FEATURES)), np.float32)
    features[..., FEATURES.index("popularity")] = [[1, 2]]
    features[..., FEATURES.index("trend")] = [[10, 30]]
    model = OnnxModel.load(release(1, **changes))
    scores, predictions = model.rank(features, np.zeros(1, np.int64))
    assert scores.tolist() == [[12, 34]]
    assert (predictions.shape, model.columns) == ((1, 2, 1), columns)
    fewer = Columns(tuple(name for name in FEATURES if name != "trend"))
    scores, _ = OnnxModel(1, encode_graph(1), rank, columns, fewer).rank(
        np.delete(features, FEATURES.index("trend"), axis=-1), np.zeros(1, np.int64)
    )
    assert np.isnan(scores).all()


def test_release_without_names_serves_with_features_switched_off() -> None:
    """Its graphs have the columns of the last contract without names, and do not know NaN."""
    rank = rank_graph({"popularity": 2.0, "trend": 1.0}, columns=Columns(LEGACY_FEATURES, LEGACY_ACTIONS))
    fewer = Columns(tuple(name for name in FEATURES if name != "trend"))
    legacy = release(1, rank=rank, contract=LEGACY_CONTRACT, features=[], actions=[])
    features = np.ones((1, 1, len(fewer.features)), np.float32)
    scores, _ = OnnxModel.load(legacy, fewer).rank(features, np.zeros(1, np.int64))
    assert scores.tolist() == [[2]]


def test_actions_of_histories_are_translated_to_the_release() -> None:
    scorer_columns = Columns(FEATURES, ("click", "like", "purchase"))
    model = OnnxModel(1, encode_graph(1), rank_graph(), Columns(FEATURES, ("purchase", "click")), scorer_columns)
    assert model.release_actions(np.array([[0, 1, 2, 3]])).tolist() == [[0, 2, 0, 1]]


@pytest.mark.parametrize(
    "broken",
    [
        {"encode": b"no graph"},
        {"encode": rank_graph()},
        {"rank": encode_graph()},
        {"rank": b""},
        {"rank": rank_graph(constant=float("nan"))},
    ],
)
def test_graphs_outside_the_contract_are_refused(broken: dict[str, Any]) -> None:
    with pytest.raises(PoisonError) as refused:
        OnnxModel.load(release(1, **broken))
    assert refused.value.reason == "bad_release"
