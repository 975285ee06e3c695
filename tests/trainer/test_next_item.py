"""The loss of the encoder, its gradient, and training with it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from eddy.contract.model import HISTORY, MAX_SCENARIOS, Columns
from eddy_trainer.core.budgets import UNBOUNDED
from eddy_trainer.core.encoder_training import EncoderPolicy, EncoderTrainer
from eddy_trainer.core.models.transformer import Transformer
from eddy_trainer.core.next_item import (
    ExcludedItems,
    SampledCandidates,
    full_softmax,
    next_item_loss,
    sample_items,
    softmax_losses,
    targets_in,
    union_candidates,
)
from eddy_trainer.core.sequences import SequenceEntry, Sequences, SequenceStore
from tests.trainer.factories import VIDEO, a_store, next_item

pytestmark = pytest.mark.slow

EVERYWHERE = torch.ones(MAX_SCENARIOS, dtype=torch.bool)
NOWHERE = torch.zeros(MAX_SCENARIOS, dtype=torch.bool)
VIDEO_ONLY = torch.arange(MAX_SCENARIOS) == VIDEO


def a_trainer(items: int, **policy: float) -> EncoderTrainer:
    trainer = EncoderTrainer(Transformer, EncoderPolicy(budgets=UNBOUNDED, **policy), VIDEO_ONLY, 0, Columns())  # type: ignore[arg-type]  # all are numbers
    trainer.table.rows([f"i{number}" for number in range(items)])
    return trainer


def everything(trainer: EncoderTrainer) -> SampledCandidates:
    return full_softmax(np.arange(1, len(trainer.table)), np.zeros(0, np.int64))


def loss_of(trainer: EncoderTrainer, rows: list[int], unseen_only: torch.Tensor) -> tuple[float, int]:
    windows = a_store({"u": rows}).windows(np.array([0]))
    result = next_item_loss(trainer.encoder, trainer.table, windows, {VIDEO: everything(trainer)}, unseen_only, None)
    return result.loss.item(), result.predictions


def test_seen_items_are_excluded_from_the_softmax() -> None:
    # Of two items one was seen, so that the second position has one candidate.
    trainer = a_trainer(2)
    (filtered, _), (open_loss, _) = (loss_of(trainer, [1, 2], where) for where in (EVERYWHERE, NOWHERE))
    alone, _ = loss_of(trainer, [1], EVERYWHERE)
    assert abs(filtered - alone / 2) < 1e-5
    assert open_loss > filtered


def test_repetitions_are_targets_only_where_items_may_be_recommended_again() -> None:
    trainer = a_trainer(4)
    assert loss_of(trainer, [1, 2, 1, 3], EVERYWHERE)[1] == 3
    assert loss_of(trainer, [1, 2, 1, 3], NOWHERE)[1] == 4


def test_items_before_the_window_count_as_seen() -> None:
    trainer = a_trainer(80)
    assert loss_of(trainer, [*range(1, 71), 3], EVERYWHERE)[1] == loss_of(trainer, [*range(1, 71)], EVERYWHERE)[1] - 1


def test_sampled_softmax_estimates_the_full_one() -> None:
    trainer = a_trainer(2000)
    random = np.random.default_rng(0)
    windows = a_store({f"u{user}": random.integers(1, 2001, 40).tolist() for user in range(4)}).windows(np.arange(4))
    share = np.full(len(trainer.table), 1 / 2000)

    def loss(candidates: SampledCandidates) -> float:
        return next_item_loss(
            trainer.encoder, trainer.table, windows, {VIDEO: candidates}, EVERYWHERE, None
        ).loss.item()

    pool, mentioned, targets = np.arange(1, 2001), np.unique(windows.rows[windows.rows > 0]), targets_in(windows, VIDEO)
    sampled = [loss(sample_items(pool, mentioned, targets, share, 300, random)) for _ in range(20)]
    whole = loss(everything(trainer))
    assert abs(np.mean(sampled) - whole) < 0.1
    assert np.std(sampled) < 0.1


def two_scenarios(trainer: EncoderTrainer) -> tuple[Sequences, dict[int, SampledCandidates]]:
    """Return windows in which odd rows belong to one scenario and even rows to the other; the first user is in one, the second in both."""
    store = SequenceStore(10)
    for user, rows in (("one", [1, 3, 5]), ("both", [2, 1, 4, 3])):
        store.append(user, [SequenceEntry(row, 1, (row + 1) % 2, 0.5, index) for index, row in enumerate(rows)])
    windows = store.windows(np.arange(2))
    pools = {scenario: np.arange(1 + scenario, len(trainer.table), 2) for scenario in (0, 1)}
    return windows, {scenario: full_softmax(pool, targets_in(windows, scenario)) for scenario, pool in pools.items()}


def test_softmaxes_are_per_scenario() -> None:
    trainer = a_trainer(10)
    windows, candidates = two_scenarios(trainer)
    result = next_item_loss(trainer.encoder, trainer.table, windows, candidates, NOWHERE, None)
    separate = [
        next_item_loss(trainer.encoder, trainer.table, windows, {scenario: each}, NOWHERE, None)
        for scenario, each in candidates.items()
    ]
    assert [each.predictions for each in separate] == [5, 2]
    assert result.predictions == 7
    torch.testing.assert_close(result.loss, (5 * separate[0].loss + 2 * separate[1].loss) / 7)
    separate[1].loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    gradient = separate[1].embedding.grad
    assert gradient is not None
    moved = separate[1].rows[gradient.abs().sum(1) > 0].tolist()
    # Row 5 belongs to the other scenario and to no history in this one.
    assert 5 not in moved
    assert {6, 8, 10} <= set(moved)


def test_a_target_that_left_its_scenario_is_still_a_candidate() -> None:
    trainer = a_trainer(10)
    windows, _ = two_scenarios(trainer)
    pool, targets = np.array([7, 9]), targets_in(windows, 0)
    random = np.random.default_rng(0)
    for few in (full_softmax(pool, targets), sample_items(pool, pool, targets, np.full(20, 0.05), 5, random)):
        assert set(few.rows.tolist()) >= {1, 3, 5}
        assert next_item_loss(trainer.encoder, trainer.table, windows, {0: few}, NOWHERE, None).predictions == 5
    none = np.zeros(0, np.int64)
    nothing = sample_items(none, none, targets, np.full(20, 0.05), 5, random)
    assert nothing.rows.tolist() == [1, 3, 5]


def test_a_scenario_with_repetitions_only_has_no_predictions() -> None:
    trainer = a_trainer(10)
    store = SequenceStore(10)
    store.append("v", [SequenceEntry(1, 1, 0, 0.5, 0), SequenceEntry(1, 1, VIDEO + 1, 0.5, 1)])
    store.append("other", [SequenceEntry(2, 1, 0, 0.5, 0), SequenceEntry(3, 1, 0, 0.5, 1)])
    windows = store.windows(np.arange(2))
    both = {scenario: everything(trainer) for scenario in (0, VIDEO + 1)}
    seen = torch.arange(MAX_SCENARIOS) == VIDEO + 1
    result = next_item_loss(trainer.encoder, trainer.table, windows, both, seen, None)
    assert result.predictions == 3
    result.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    alone = next_item_loss(trainer.encoder, trainer.table, windows, {VIDEO + 1: both[VIDEO + 1]}, seen, None)
    assert alone.predictions == 0


def test_masked_items_that_are_no_candidates_are_ignored() -> None:
    trainer = EncoderTrainer(
        Transformer, EncoderPolicy(objective="masked", budgets=UNBOUNDED), VIDEO_ONLY, 0, Columns()
    )
    trainer.table.rows([f"i{number}" for number in range(80)])
    # The windows start with a scenario that has no targets.
    for at in range(HISTORY + 13):
        events = [next_item(f"u{user}", f"i{at}", at * 1000) for user in range(20)]
        trainer.observe([replace(each, event=replace(each.event, scenario=int(at > 12))) for each in events])
    assert np.isfinite(trainer.step(rehearse=False)).all()


def test_the_union_holds_items_of_any_sample() -> None:
    one = SampledCandidates(torch.tensor([1, 2]), torch.tensor([0.5, 0.2]).log())
    two = SampledCandidates(torch.tensor([2, 7]), torch.tensor([0.5, 1.0]).log())
    union = union_candidates({0: one, 3: two})
    assert union.rows.tolist() == [1, 2, 7]
    torch.testing.assert_close(union.log_q.exp(), torch.tensor([0.5, 1 - 0.8 * 0.5, 1.0]))
    assert union_candidates({3: two}) is two


@pytest.mark.parametrize("objective", ["masked", "contrastive"])
def test_every_objective_trains_two_scenarios_at_once(objective: str) -> None:
    trainer = EncoderTrainer(
        Transformer, EncoderPolicy(objective=objective, budgets=UNBOUNDED), VIDEO_ONLY, 0, Columns()
    )
    trainer.table.rows([f"i{number}" for number in range(40)])
    for step in range(6):
        events = [next_item(f"u{user}", f"i{(user + step) % 40}", step * 1000) for user in range(40)]
        trainer.observe(
            [replace(each, event=replace(each.event, scenario=int(each.event.item_id[1:]) % 2)) for each in events]
        )
        assert np.isfinite(trainer.step(rehearse=True)).all()
    assert set(trainer.table.rows_of_scenario(0)) == set(range(1, 41, 2))


def test_a_planted_order_is_learned() -> None:
    trainer = a_trainer(20, events_per_step=20, users_per_step=20, min_sampled_users=0, rate=5e-3)
    losses: list[float] = []
    for step in range(14):
        trainer.observe([next_item(f"u{user}", f"i{(user + step) % 20}", step * 1000) for user in range(200)])
        losses += trainer.step(rehearse=True)
    # The first item of each user is random.
    assert losses[0] > 2.5
    assert losses[-1] < 1.0


def test_all_users_with_events_are_covered_and_no_others_without_rehearsal() -> None:
    trainer = a_trainer(40)
    trainer.observe([next_item(f"u{user}", f"i{user % 40}") for user in range(300)])
    parts = trainer._split_users(np.arange(300), 3)
    assert sorted(np.concatenate(parts).tolist()) == list(range(300))
    assert trainer.planned_steps() == 3
    assert len(trainer.step(rehearse=False)) == 1
    assert trainer.untrained_events == 0
    assert len(trainer._sample_windows(np.arange(5), 0).rows) == 5
    assert len(trainer._sample_windows(np.arange(5), 48).rows) == 48


def test_loss_and_gradient_equal_those_of_torch() -> None:
    random = torch.Generator().manual_seed(0)
    users = torch.randn(300, 16, generator=random, requires_grad=True)
    items = torch.randn(40, 16, generator=random, requires_grad=True)
    log_q, targets = -torch.rand(40, generator=random), torch.randint(0, 40, (300,), generator=random)
    columns, at = torch.randint(0, 41, (7, 30), generator=random), torch.arange(30) - 10
    user, until = torch.arange(300) % 7, torch.randint(-2, 20, (300,), generator=random)
    excluded = torch.zeros(300, 41, dtype=torch.bool)
    for prediction in range(300):
        excluded[prediction, columns[user[prediction], at <= until[prediction]]] = True
    excluded = excluded[:, :40]
    targets = torch.where(excluded[torch.arange(300), targets], (~excluded).int().argmax(1), targets)
    fused = softmax_losses(users, items, log_q, ExcludedItems(columns, at, user, until), targets).mean()
    plain = torch.nn.functional.cross_entropy((users @ items.T - log_q).masked_fill(excluded, -1e9), targets)
    torch.testing.assert_close(fused, plain)
    for actual, expected in zip(
        torch.autograd.grad(fused, (users, items)), torch.autograd.grad(plain, (users, items)), strict=True
    ):
        torch.testing.assert_close(actual, expected)


def test_few_events_give_a_short_step() -> None:
    distances = []
    for events in (2, 128):
        trainer = a_trainer(40)
        trainer.observe([next_item(f"u{number}", f"i{number % 40}") for number in range(events)])
        before = trainer.encoder.action.detach().clone()
        trainer.step(rehearse=True)
        distances.append((trainer.encoder.action.detach() - before).abs().max().item())
    assert 0 < 30 * distances[0] < distances[1]
