"""The encoder is judged before it is taught, held back, and rolled back by itself."""

import math

import numpy as np
import pytest
import torch

from eddy_trainer.core.budgets import BudgetPolicy
from eddy_trainer.core.encoder_judge import Group
from eddy_trainer.core.examples import NextItemExample
from eddy_trainer.core.learner import Learner
from eddy_trainer.core.progressive import LossComparison
from eddy_trainer.core.release_gate import ENCODER_LOSS, GatePolicy, ReleaseCandidate, reasons_to_hold
from tests.trainer.factories import learner, next_item

ITEMS = 30


def walk(step: int, users: int = 25, start: str = "u") -> list[NextItemExample]:
    """Users each take the next step of their walk through the items, three steps a day, so that they come of age."""
    return [
        next_item(f"{start}{user}", f"i{(step + user) % ITEMS}", 8 * 3_600_000 * step + user) for user in range(users)
    ]


def settled(steps: int = 90, **policy: BudgetPolicy) -> Learner:
    trainee = learner(users_per_step=16, events_per_step=256, **policy)
    for step in range(steps):
        trainee.observe(walk(step % ITEMS, start=f"u{step // ITEMS}-"))
        trainee.step()
        trainee.set_serving(trainee.snapshot(), step + 1)
        assert not trainee.regressed()
    return trainee


def ruin_encoder(trainee: Learner) -> None:
    """Give the items the vectors of others, as an attack on the table would."""
    with torch.no_grad():
        trainee.encoder.table._embedding.neg_()
        trainee.encoder.table.projection.neg_()
        trainee.encoder.encoder.norm.weight.neg_()


def test_the_judge_sees_an_interaction_before_it_is_taught() -> None:
    trainee = learner()
    trainee.observe(walk(0))
    before = trainee.encoder_judge.compare()["video/new_users"]
    assert before.count == 25
    assert before.candidate == before.serving == pytest.approx(math.log(ITEMS), abs=2)
    trainee.step()
    assert trainee.encoder_judge.compare()["video/new_users"] == before


def test_users_without_a_history_are_judged_apart() -> None:
    trainee = learner()
    trainee.observe(walk(0))
    trainee.observe(walk(1))
    assert {name: each.count for name, each in trainee.encoder_judge.compare().items()} == {
        "video": 25,
        "video/new_users": 25,
    }
    figures = trainee.encoder_judge.figures()
    assert figures.keys() == {Group("video", new_users=False), Group("video", new_users=True)}
    assert all(0 <= each.ndcg <= each.hr <= 1 for each in figures.values())


def test_what_the_budgets_decline_is_not_judged() -> None:
    """An attacker must not be the judge of what he taught."""
    trainee = settled(31, budgets=BudgetPolicy())
    before = trainee.encoder_judge.compare()["video/new_users"].count
    trainee.observe([next_item(f"fake{number}", "i3", 10**10 + number) for number in range(1000)])
    assert trainee.encoder_judge.compare()["video/new_users"].count <= before + 50


def test_the_gate_holds_an_encoder_that_got_worse_for_one_group() -> None:
    fine, worse = LossComparison(1000, 50, 3.0, 3.0, 0.01), LossComparison(1000, 50, 3.0, 3.4, 0.01)
    candidate = ReleaseCandidate(True, 0.0, fine, {}, {"video": fine, "video/new_users": fine})
    assert reasons_to_hold(candidate, GatePolicy()) == []
    candidate = ReleaseCandidate(True, 0.0, fine, {}, {"video": fine, "video/new_users": worse})
    assert reasons_to_hold(candidate, GatePolicy()) == [ENCODER_LOSS]


@pytest.mark.slow
def test_a_regressed_encoder_is_rolled_back_by_itself() -> None:
    trainee = settled()
    good = trainee.snapshot()
    ruin_encoder(trainee)
    ranker = {name: weights.clone() for name, weights in trainee.ranker.ranker.state_dict().items()}
    for step in range(90, 200):
        trainee.set_serving(trainee.snapshot(), step)
        trainee.observe(walk(step % ITEMS, start=f"u{step // ITEMS}-"))
        if trainee.regressed():
            break
    back = trainee.roll_back()
    assert (back.reason, 0 < back.version < 90) == (ENCODER_LOSS, True)
    assert all(torch.equal(ranker[name], weights) for name, weights in trainee.ranker.ranker.state_dict().items())
    assert not trainee.regressed()
    similarity = (trainee.snapshot().vectors[1:] * good.vectors[1:]).sum(axis=1)
    assert similarity.min() > 0.8


def test_after_a_rollback_what_was_taught_since_is_not_rehearsed() -> None:
    trainee = settled(3)
    appended = trainee.encoder.sequences.appended
    trainee.observe([next_item(f"late{number}", f"i{number % 5}", 10**8) for number in range(40)])
    released = trainee.encoder_judge.serving
    assert released is not None
    trainee.encoder.reset_to(released.encoder, released.table, released.item_ids, released.appended)
    sequences = trainee.encoder.sequences
    assert released.appended == appended
    late = [sequences.slot_of(f"late{number}") for number in range(40)]
    assert not sequences.windows(np.array(late)).targets.any()
    assert trainee.encoder.untrained_events == 0
