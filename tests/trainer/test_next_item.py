"""The loss of the encoder, and that it learns."""

import numpy as np
import torch

from services.trainer.encoder_training import EncoderPolicy, EncoderTrainer
from services.trainer.models.transformer import Transformer
from services.trainer.next_item import Candidates, Masks, every_item, next_item_loss, sample_items, softmax_losses
from shared.model_contract import MAX_SCENARIOS
from tests.trainer.factories import VIDEO, a_store, next_item

EVERYWHERE = torch.ones(MAX_SCENARIOS, dtype=torch.bool)
NOWHERE = torch.zeros(MAX_SCENARIOS, dtype=torch.bool)
VIDEO_ONLY = torch.arange(MAX_SCENARIOS) == VIDEO


def a_trainer(items: int, **policy: float) -> EncoderTrainer:
    trainer = EncoderTrainer(Transformer, EncoderPolicy(**policy), VIDEO_ONLY, seed=0)  # type: ignore[arg-type]  # all are numbers
    trainer.table.rows([f"i{number}" for number in range(items)])
    return trainer


def loss_of(trainer: EncoderTrainer, rows: list[int], unseen_only: torch.Tensor) -> tuple[float, int]:
    windows = a_store({"u": rows}).windows(np.array([0]))
    outcome = next_item_loss(trainer.encoder, trainer.table, windows, every_item(len(trainer.table)), unseen_only, None)
    return outcome.loss.item(), outcome.places


def test_seen_items_are_left_out_of_the_softmax() -> None:
    # Of two items one was seen: the other is all that is left at the second place.
    trainer = a_trainer(2)
    (filtered, _), (open_loss, _) = (loss_of(trainer, [1, 2], where) for where in (EVERYWHERE, NOWHERE))
    alone, _ = loss_of(trainer, [1], EVERYWHERE)
    assert abs(filtered - alone / 2) < 1e-5
    assert open_loss > filtered


def test_repetitions_teach_only_where_items_may_come_again() -> None:
    trainer = a_trainer(4)
    assert loss_of(trainer, [1, 2, 1, 3], EVERYWHERE)[1] == 3
    assert loss_of(trainer, [1, 2, 1, 3], NOWHERE)[1] == 4


def test_items_from_before_the_window_are_seen_too() -> None:
    trainer = a_trainer(80)
    assert loss_of(trainer, [*range(1, 71), 3], EVERYWHERE)[1] == loss_of(trainer, [*range(1, 71)], EVERYWHERE)[1] - 1


def test_sampled_softmax_stands_for_the_whole_one() -> None:
    trainer = a_trainer(2000)
    random = np.random.default_rng(0)
    windows = a_store({f"u{user}": random.integers(1, 2001, 40).tolist() for user in range(4)}).windows(np.arange(4))
    share = np.full(len(trainer.table), 1 / 2000)

    def loss(candidates: Candidates) -> float:
        return next_item_loss(trainer.encoder, trainer.table, windows, candidates, EVERYWHERE, None).loss.item()

    sampled = [loss(sample_items(windows, len(trainer.table), share, 300, random)) for _ in range(20)]
    whole = loss(every_item(len(trainer.table)))
    assert abs(np.mean(sampled) - whole) < 0.1
    assert np.std(sampled) < 0.1


def test_a_planted_order_is_learned() -> None:
    trainer = a_trainer(20, events_per_step=20, users_per_step=20, fewest_users=0, rate=5e-3)
    losses: list[float] = []
    for turn in range(14):
        trainer.observe([next_item(f"u{user}", f"i{(user + turn) % 20}", turn * 1000) for user in range(200)])
        losses += trainer.step(replay=True)
    # The first item of each user is anybody's guess.
    assert losses[0] > 2.5
    assert losses[-1] < 1.0


def test_all_fresh_users_are_covered_and_without_replay_nobody_else() -> None:
    trainer = a_trainer(40)
    trainer.observe([next_item(f"u{user}", f"i{user % 40}") for user in range(300)])
    portions = trainer._portions(np.arange(300), 3)
    assert sorted(np.concatenate(portions).tolist()) == list(range(300))
    assert trainer.wanted_steps() == 3
    assert len(trainer.step(replay=False)) == 1
    assert trainer.fresh_events == 0
    assert len(trainer._draw(np.arange(5), 0).rows) == 5
    assert len(trainer._draw(np.arange(5), 48).rows) == 48


def test_loss_and_gradient_are_those_of_torch() -> None:
    random = torch.Generator().manual_seed(0)
    users = torch.randn(300, 16, generator=random, requires_grad=True)
    items = torch.randn(40, 16, generator=random, requires_grad=True)
    log_q, targets = -torch.rand(40, generator=random), torch.randint(0, 40, (300,), generator=random)
    first_seen = torch.randint(0, 127, (7, 40), dtype=torch.int8, generator=random)
    user, until = torch.arange(300) % 7, torch.full((300,), 60, dtype=torch.int8)
    masked = first_seen[user] <= until[:, None]
    targets = torch.where(masked[torch.arange(300), targets], (~masked).int().argmax(1), targets)
    fused = softmax_losses(users, items, log_q, Masks(first_seen, user, until), targets).mean()
    plain = torch.nn.functional.cross_entropy((users @ items.T - log_q).masked_fill(masked, -1e9), targets)
    torch.testing.assert_close(fused, plain)
    for ours, theirs in zip(
        torch.autograd.grad(fused, (users, items)), torch.autograd.grad(plain, (users, items)), strict=True
    ):
        torch.testing.assert_close(ours, theirs)


def test_few_events_make_a_short_step() -> None:
    moved = []
    for events in (2, 128):
        trainer = a_trainer(40)
        trainer.observe([next_item(f"u{number}", f"i{number % 40}") for number in range(events)])
        before = trainer.encoder.action.detach().clone()
        trainer.step(replay=True)
        moved.append((trainer.encoder.action.detach() - before).abs().max().item())
    assert 0 < 30 * moved[0] < moved[1]
