"""The ranker: training on candidate sets and impressions, position bias, standardisation."""

import numpy as np
import pytest
import torch

from eddy.contract.model import ACTIONS, FEATURES, MAX_SCENARIOS, Columns
from eddy_trainer.core.examples import ImpressionExample
from eddy_trainer.core.models.listwise import Listwise
from eddy_trainer.core.models.ranker import ChosenItems, action_losses
from eddy_trainer.core.ranker_training import RankerPolicy, RankerTrainer
from eddy_trainer.core.ranking_memory import MAX_CANDIDATES, CandidateSetMemory
from tests.trainer.factories import CLICK, VIDEO, features, next_item

pytestmark = pytest.mark.slow

HEADS = torch.zeros((MAX_SCENARIOS, len(ACTIONS)), dtype=torch.bool)
HEADS[VIDEO, [CLICK, ACTIONS.index("like")]] = True
PLANTED = FEATURES.index("item_age")


def a_trainer(warm_up_candidate_sets: int = 1) -> RankerTrainer:
    return RankerTrainer(Listwise, RankerPolicy(warm_up_candidate_sets=warm_up_candidate_sets), HEADS, 0, Columns())


def test_a_planted_feature_is_learned_from_candidate_sets() -> None:
    trainer, random = a_trainer(), np.random.default_rng(0)
    losses = []
    for _ in range(12):
        events = []
        for _ in range(256):
            candidates = features(10, int(random.integers(1 << 30)))
            events.append(next_item("u", "i", 0, int(candidates[:, PLANTED].argmax()), candidates))
        candidate_sets, _ = trainer.observe(events, [])
        losses.append(trainer.candidate_set_losses(trainer.ranker, candidate_sets).mean().item())
        trainer.step()
    assert losses[0] > 2.0
    assert losses[-1] < 0.7


def test_few_candidate_sets_give_short_steps() -> None:
    distances = []
    for warm_up_candidate_sets in (1, 1000):
        trainer = a_trainer(warm_up_candidate_sets)
        before = trainer.ranker.additive.detach().clone()
        trainer.observe([next_item("u", "i", 0, 0, features(10, seed)) for seed in range(51)], [])
        trainer.step()
        distances.append((trainer.ranker.additive - before).abs().max().item())
    assert 0 < distances[1] < 0.1 * distances[0]


def test_position_bias_is_separated_from_the_item() -> None:
    # Items are equally good; the first position is clicked three times as often as the second.
    trainer, random = a_trainer(), np.random.default_rng(0)
    for _ in range(40):
        examples = []
        for _ in range(800):
            actions = tuple(CLICK if random.random() < probability else -1 for probability in (0.6, 0.2))
            examples.append(
                ImpressionExample("label", VIDEO, features(2, int(random.integers(1 << 30))), (0, 1), actions)
            )
        trainer.observe([], examples)
        trainer.step()
    inputs = torch.from_numpy(features(100, 7).astype(np.float32))
    scenarios = torch.full((100,), VIDEO)
    probabilities = [
        torch.sigmoid(trainer.ranker.impression_logits(inputs, scenarios, torch.full((100,), position)))[:, CLICK]
        .mean()
        .item()
        for position in (0, 1)
    ]
    assert abs(probabilities[0] - 0.6) < 0.08
    assert abs(probabilities[1] - 0.2) < 0.08


def test_a_negative_trains_the_heads_of_its_scenario_and_a_positive_its_own() -> None:
    heads = torch.tensor([[True, True, False]]).expand(2, -1)
    _, counted = action_losses(torch.zeros(2, 3), torch.tensor([-1, 2]), heads)
    assert counted.tolist() == [[True, True, False], [False, False, True]]


def test_padding_of_a_candidate_set_does_not_count() -> None:
    scores = torch.tensor([[1.0, 2.0, 50.0]])
    chosen = ChosenItems(torch.tensor([2]), torch.tensor([0]), torch.ones(1))
    shorter = Listwise.candidate_set_losses(scores[:, :2], chosen)
    torch.testing.assert_close(Listwise.candidate_set_losses(scores, chosen), shorter)


def test_inputs_are_standardised() -> None:
    ranker = Listwise(Columns())
    random = torch.Generator().manual_seed(0)
    for _ in range(200):
        ranker.standardise_by(torch.randn(500, len(FEATURES), generator=random) * 4 + 7)
    torch.testing.assert_close(ranker.mean, torch.full_like(ranker.mean, 7), rtol=0.05, atol=0)
    torch.testing.assert_close(ranker.deviation, torch.full_like(ranker.deviation, 4), rtol=0.05, atol=0)


def test_large_candidate_sets_keep_their_target() -> None:
    candidates = features(2 * MAX_CANDIDATES)
    for target in (0, 5, MAX_CANDIDATES, 2 * MAX_CANDIDATES - 1):
        candidate_sets = CandidateSetMemory(len(FEATURES)).add([next_item("u", "i", 0, target, candidates)])
        position = int(candidate_sets.chosen.targets[0])
        assert candidate_sets.chosen.counts.tolist() == [MAX_CANDIDATES]
        assert np.array_equal(candidate_sets.features[0, position].numpy(), candidates[target].astype(np.float32))
        assert position == pytest.approx(target / 2, abs=2)
        assert len(np.unique(candidate_sets.features[0].numpy(), axis=0)) == MAX_CANDIDATES


def test_padding_does_not_enter_the_standardisation() -> None:
    trainer = RankerTrainer(
        Listwise, RankerPolicy(), torch.zeros(MAX_SCENARIOS, len(ACTIONS), dtype=torch.bool), 0, Columns()
    )
    long, short = (next_item("u", "i", 0, 0, 3 + features(rows, rows)) for rows in (50, 2))
    trainer.observe([long, short], [])
    together = np.concatenate([long.features, short.features]).astype(np.float32)
    np.testing.assert_allclose(trainer.ranker.mean.numpy(), together.mean(axis=0), atol=1e-3)
