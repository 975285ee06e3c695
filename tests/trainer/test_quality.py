"""Quality of the serving model by scenario, compared with the definitions."""

import math

import numpy as np
import pytest
import torch

from eddy.contract.model import ACTIONS
from eddy_trainer.core.models.ranker import ChosenItems
from eddy_trainer.core.quality import QUALITY_WINDOW, Quality, auc
from tests.trainer.factories import CLICK, SCENARIOS, VIDEO

SHOP = SCENARIOS["shop"].id
LIKE = ACTIONS.index("like")


def probabilities(of_click: list[float]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
    probabilities_of_all = np.zeros((len(of_click), len(ACTIONS)), np.float32)
    probabilities_of_all[:, CLICK] = of_click
    return probabilities_of_all


def test_impressions_are_evaluated_on_their_main_action() -> None:
    quality = Quality(SCENARIOS, len(ACTIONS))
    actions = np.array([CLICK, -1, CLICK, -1, LIKE])
    quality.add_impressions(probabilities([0.9, 0.8, 0.3, 0.2, 0.99]), np.full(5, VIDEO), actions)
    figures = quality.figures()
    assert figures.keys() == {"video"}
    assert figures["video"].auc == 0.75
    assert figures["video"].calibration == pytest.approx((0.9 + 0.8 + 0.3 + 0.2) / 2)
    assert math.isnan(figures["video"].ndcg)


def test_candidate_sets_are_evaluated_by_the_rank_of_the_chosen_item() -> None:
    scores = np.array([[3.0, 2.0, 1.0, 9.0], [1.0, 1.0, 0.0, 0.0]], np.float32)
    chosen = ChosenItems(torch.tensor([3, 2]), torch.tensor([1, 0]), torch.ones(2))
    quality = Quality(SCENARIOS, len(ACTIONS))
    quality.add_candidate_sets(scores, np.array([VIDEO, SHOP]), chosen)
    figures = quality.figures()
    # The fourth column of the first set is padding; a tie counts against the model.
    for name in ("video", "shop"):
        assert figures[name].ndcg == pytest.approx(1 / np.log2(3))
        assert figures[name].hr == 1.0


def test_only_the_last_examples_count() -> None:
    quality = Quality(SCENARIOS, len(ACTIONS))
    for click in (0.1, 0.9):
        labels = np.tile([CLICK, -1], QUALITY_WINDOW // 2)
        quality.add_impressions(
            probabilities([click, 0.5] * (QUALITY_WINDOW // 2)), np.full(QUALITY_WINDOW, VIDEO), labels
        )
    assert quality.figures()["video"].auc == 1.0


def test_auc_equals_the_share_of_ordered_pairs() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.integers(0, 5, 60).astype(np.float32), random.random(60) < 0.4
    pairs = (scores[labels][:, None] > scores[~labels]) + 0.5 * (scores[labels][:, None] == scores[~labels])
    assert auc(scores, labels) == pytest.approx(pairs.mean())
    assert math.isnan(auc(scores, np.ones(60, bool)))


def test_nan_scores_count_against_the_model() -> None:
    quality = Quality(SCENARIOS, len(ACTIONS))
    scores = np.array([[math.nan, 1.0, 2.0], [1.0, math.nan, 0.0]], np.float32)
    chosen = ChosenItems(torch.tensor([3, 3]), torch.tensor([0, 0]), torch.ones(2))
    quality.add_candidate_sets(scores, np.full(2, VIDEO), chosen)
    expected = (1 / math.log2(4) + 1 / math.log2(3)) / 2
    assert quality.figures()["video"].ndcg == pytest.approx(expected)
