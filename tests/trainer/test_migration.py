"""Checkpoints migrated to other features and actions keep everything else, for every kind of model."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from eddy.contract.legacy import LEGACY_ACTIONS, LEGACY_FEATURES
from eddy.contract.model import Columns, hash_of_contract
from eddy_trainer.core.encoder_training import EncoderPolicy
from eddy_trainer.core.examples import ExampleParser, ImpressionExample, NextItemExample
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy
from eddy_trainer.core.migration import ColumnMigration
from eddy_trainer.core.models import MODELS
from eddy_trainer.core.models.axes import ACTION, FEATURE, HEAD
from eddy_trainer.core.models.encoder import Encoder
from eddy_trainer.core.models.ranker import Ranker
from eddy_trainer.core.ranker_training import RankerPolicy
from tests.trainer.factories import SCENARIOS, VIDEO
from tests.trainer.test_encoder import histories

pytestmark = pytest.mark.slow
every_model = pytest.mark.parametrize("name", sorted(MODELS))

FORMER = Columns(("covisit_score", "going", "popularity", "user_level"), ("click", "like", "gone", "purchase"))
# Another order, one removed and one new of each; `user_level` and `like` are renamed.
NOW = Columns(("coming", "popularity", "covisit_score", "user_bias"), ("purchase", "favourite", "new", "click"))
RENAMED = {"user_level": "user_bias"}, {"like": "favourite"}


@pytest.fixture(autouse=True)
def renamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy_trainer.core.migration.FEATURE_ALIASES", RENAMED[0])
    monkeypatch.setattr("eddy_trainer.core.migration.ACTION_ALIASES", RENAMED[1])


def a_learner(name: str, columns: Columns, seed: int = 0) -> Learner:
    policy = LearnerPolicy(seed, name, EncoderPolicy(), RankerPolicy(warm_up_candidate_sets=1), columns=columns)
    made = Learner(SCENARIOS, policy)
    made.admit([ItemContent(f"i{number}", [f"c{number % 3}"]) for number in range(20)])
    return made


def a_stream(columns: Columns, events: int = 80) -> list[NextItemExample | ImpressionExample]:
    random = np.random.default_rng(0)
    made: list[NextItemExample | ImpressionExample] = []
    parser = ExampleParser(SCENARIOS, columns)
    for event in range(events):
        record = _record(columns, random, event)
        made.append(parser.parse(record))
        made.append(parser.parse(record | {"kind": "label", "features": record["considered_features"]}))
    return made


def _record(columns: Columns, random: np.random.Generator, event: int) -> dict[str, Any]:
    action = columns.actions[event % len(columns.actions)]
    items = [
        {
            "item_id": f"i{(event + position) % 20}",
            "position": position,
            "label": int(position == 2),
            "action": action,
            "value": 0.5,
        }
        for position in range(3)
    ]
    features = random.normal(size=(3, len(columns.features))).astype("<f2")
    return {
        "kind": "next_item",
        "user_id": f"u{event % 7}",
        "scenario": "video",
        "items": items[2:] + items[:2],
        "considered": [item["item_id"] for item in items],
        "considered_features": features.tobytes(),
        "feature_names": list(columns.features),
        "history": None,
        "occurred_at": event * 1000,
        "labelled_at": 0,
        "contract": hash_of_contract(),
        "superseded": False,
        "acted_at": None,
    }


def trained(name: str, columns: Columns) -> Learner:
    made = a_learner(name, columns)
    for half in (slice(None, 80), slice(80, None)):
        made.observe(a_stream(columns)[half])
        made.step()
    return made


def restored(former: Learner, columns: Columns) -> Learner:
    made = a_learner(former.model, columns, seed=5)
    made.restore(former.state())
    return made


@every_model
@pytest.mark.parametrize("part", ["encoder", "ranker"])
def test_every_tensor_that_depends_on_columns_is_declared(name: str, part: str) -> None:
    """The declared axes are exactly those that grow with the columns."""
    kind: type[Encoder] | type[Ranker] = getattr(MODELS[name], part)
    small = kind(Columns(FORMER.features[:3], FORMER.actions[:2])).state_dict()
    more_features = kind(Columns(FORMER.features, FORMER.actions[:2])).state_dict()
    more_actions = kind(Columns(FORMER.features[:3], FORMER.actions)).state_dict()
    assert set(kind.axes) <= set(small)
    for tensor, before in small.items():
        axes = kind.axes.get(tensor, (None,) * before.dim())
        for dimension, (axis, size) in enumerate(zip(axes, before.shape, strict=True)):
            assert (more_features[tensor].shape[dimension] > size) == (axis == FEATURE), tensor
            assert (more_actions[tensor].shape[dimension] > size) == (axis in (HEAD, ACTION)), tensor


@every_model
def test_predictions_do_not_change(name: str) -> None:
    """Whatever the value of the new feature, if the removed one was missing."""
    former = trained(name, FORMER)
    migrated = restored(former, NOW)
    batch, generator = 6, torch.Generator().manual_seed(0)
    kept = torch.randn(batch, 5, 3, generator=generator)
    gone = torch.full((batch, 5, 1), torch.nan)
    added = torch.randn(batch, 5, 1, generator=generator) * 7
    covisit, popularity, level = kept.split(1, dim=-1)
    before = torch.cat([covisit, gone, popularity, level], dim=-1)
    after = torch.cat([added, popularity, covisit, level], dim=-1)
    scenarios, positions = torch.full((batch,), VIDEO), torch.arange(batch)
    with torch.no_grad():
        scores, logits = former.ranker.ranker(before, scenarios)
        moved_scores, moved_logits = migrated.ranker.ranker(after, scenarios)
        torch.testing.assert_close(moved_scores, scores)
        torch.testing.assert_close(moved_logits[..., [3, 1, 0]], logits[..., [0, 1, 3]])
        shown = former.ranker.ranker.impression_logits(before[:, 0], scenarios, positions)
        moved = migrated.ranker.ranker.impression_logits(after[:, 0], scenarios, positions)
        torch.testing.assert_close(moved[..., [3, 1, 0]], shown[..., [0, 1, 3]])
        assert torch.isfinite(moved).all()


@every_model
def test_user_vectors_do_not_change(name: str) -> None:
    """Actions are encoded as 1 + index, which changes; 0 stays no action."""
    former = trained(name, FORMER)
    migrated = restored(former, NOW)
    seen = histories(6, 9)
    before = torch.randint(0, 3, seen.actions.shape, generator=torch.Generator().manual_seed(1))
    after = torch.tensor([0, 4, 2])[before]
    scenarios = torch.zeros(6, 9, dtype=torch.int64)
    with torch.no_grad():
        users = former.encoder.encoder(seen._replace(actions=before), scenarios)
        torch.testing.assert_close(migrated.encoder.encoder(seen._replace(actions=after), scenarios), users)


@every_model
def test_the_state_is_kept_and_training_continues(name: str) -> None:
    former = trained(name, FORMER)
    migrated = restored(former, NOW)
    assert migrated.examples == former.examples == 160
    assert (migrated.snapshot().vectors == former.snapshot().vectors).all()
    before = migrated.snapshot()
    migrated.observe(a_stream(NOW))
    migrated.step()
    after = migrated.snapshot()
    assert after.finite()
    assert any(not torch.equal(before.ranker[tensor], after.ranker[tensor]) for tensor in before.ranker)
    added = [weights for tensor, weights in after.ranker.items() if tensor in ("additive", "weights", "hidden")]
    assert added
    assert all(weights[0].abs().max() > 0 for weights in added)  # the new input is trained
    assert _untouched(restored(migrated, NOW), migrated)


def _untouched(one: Learner, other: Learner) -> bool:
    first, second = one.snapshot(), other.snapshot()
    pairs = [(first.encoder[key], second.encoder[key]) for key in first.encoder]
    pairs += [(first.ranker[key], second.ranker[key]) for key in first.ranker]
    return all(torch.equal(x, y) for x, y in pairs)


@every_model
def test_moments_are_migrated_with_their_weights(name: str) -> None:
    former = trained(name, FORMER)
    migrated = restored(former, NOW)
    for part in ("encoder", "ranker"):
        before, after = _moments(getattr(former, part), part), _moments(getattr(migrated, part), part)
        assert before.keys() == after.keys()
        axes = getattr(getattr(former, part), part).axes
        for tensor, moment in after.items():
            for dimension, axis in enumerate(axes.get(tensor, ())):
                new = {FEATURE: [0], HEAD: [2], ACTION: [3], None: []}[axis]
                assert not moment.index_select(dimension, torch.tensor(new, dtype=torch.int64)).any(), tensor
    first, second = _moments(former.ranker, "ranker"), _moments(migrated.ranker, "ranker")
    torch.testing.assert_close(second["head_bias"][:, [3, 1, 0]], first["head_bias"][:, [0, 1, 3]])
    assert first["head_bias"].any()


def _moments(trainer: Any, part: str) -> dict[str, Tensor]:
    optimiser = trainer._optimiser
    names = {parameter: name for name, parameter in getattr(trainer, part).named_parameters()}
    return {names[parameter]: entry["exp_avg"] for parameter, entry in optimiser.state.items() if parameter in names}


def test_actions_of_interactions_are_mapped_by_name() -> None:
    migration = ColumnMigration(FORMER, NOW)
    assert migration.actions(np.array([[0, 1, 2], [3, 4, 1]], np.int8)).tolist() == [[0, 4, 2], [0, 1, 4]]


def test_a_new_action_starts_as_in_a_fresh_model() -> None:
    migrated = restored(trained("transformer", FORMER), NOW)
    fresh = a_learner("transformer", NOW, seed=5).snapshot()
    moved = migrated.snapshot()
    assert torch.equal(moved.encoder["action"][3], fresh.encoder["action"][3])
    assert moved.encoder["action"][3].any()
    assert (moved.ranker["head_bias"][:, 2] == -2).all()


def test_a_state_without_names_has_the_columns_of_the_last_contract_without_names() -> None:
    """Its checkpoints count batches for all features together."""
    former = trained("transformer", Columns(LEGACY_FEATURES, LEGACY_ACTIONS))
    state = former.state()
    del state["features"], state["actions"]
    state["ranker"] = {**state["ranker"], "ranker": {**state["ranker"]["ranker"], "batches": torch.tensor(2.0)}}
    migrated = a_learner("transformer", Columns(LEGACY_FEATURES[::-1], LEGACY_ACTIONS[::-1]), seed=5)
    migrated.restore(state)
    assert migrated.examples == former.examples
    assert torch.equal(migrated.snapshot().ranker["mean"], former.snapshot().ranker["mean"].flip(0))
    assert (migrated.snapshot().ranker["batches"] == 2).all()


def test_features_that_are_sometimes_missing_keep_their_mean() -> None:
    """Each input is standardised by its own present values."""
    ranker = MODELS["transformer"].ranker(Columns(("always", "sometimes", "never"), ("click",)))
    generator = torch.Generator().manual_seed(0)
    for step in range(200):
        batch = torch.randn(300, 3, generator=generator) * 4 + 7
        batch[:, 2] = torch.nan
        batch[step % 2 * 150 :, 1] = torch.nan
        ranker.standardise_by(batch)
    torch.testing.assert_close(ranker.mean, torch.tensor([7.0, 7.0, 0.0]), rtol=0.1, atol=0)
    torch.testing.assert_close(ranker.deviation, torch.tensor([4.0, 4.0, 1.0]), rtol=0.1, atol=0)
    assert ranker.batches.tolist() == [200, 100, 0]
