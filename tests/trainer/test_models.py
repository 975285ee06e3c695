"""Every kind of model through the same checks: shapes, torch = ONNX, learning, unknown items, and weights of other kinds and contracts."""

from functools import cache
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch

from eddy.contract.model import ACTIONS, DIM, FEATURES, PARITY_TOLERANCE, TOP_K, Columns, hash_of_contract
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_trainer.core import graphs as graphs_module
from eddy_trainer.core.budgets import UNBOUNDED
from eddy_trainer.core.encoder_training import EncoderPolicy
from eddy_trainer.core.graphs import GraphExporter, cache_paths, example_inputs, modules
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy
from eddy_trainer.core.models import DEFAULT_MODEL, MODELS
from eddy_trainer.core.models.encoder import Dropout
from eddy_trainer.core.models.gru4rec import Gru4Rec
from eddy_trainer.core.next_item import full_softmax, next_item_loss, targets_in
from eddy_trainer.core.objectives import AuxiliaryInputs, contrastive_loss, masked_loss
from eddy_trainer.core.parity import Probe, largest_difference, probe_of
from eddy_trainer.core.ranker_training import RankerPolicy
from eddy_trainer.settings import TrainerSettings
from eddy_trainer.shell import checkpoint
from eddy_trainer.shell.checkpoint import TrainerCheckpoint, read_checkpoint, write_checkpoint
from tests.trainer.factories import SCENARIOS, VIDEO, a_store, a_stream, features, next_item
from tests.trainer.test_encoder import histories

pytestmark = pytest.mark.slow

every_model = pytest.mark.parametrize("name", sorted(MODELS))
PLANTED = FEATURES.index("item_age")


@cache
def exporter_of(name: str) -> GraphExporter:
    return GraphExporter.cached(TrainerSettings.model_fields["trainer_graphs_dir"].default, name, Columns())


def a_learner(name: str, items: int = 30, **encoder: object) -> Learner:
    policy = LearnerPolicy(0, name, EncoderPolicy(budgets=UNBOUNDED, **encoder), RankerPolicy(warm_up_candidate_sets=1))  # type: ignore[arg-type]  # numbers
    made = Learner(SCENARIOS, policy)
    made.admit([ItemContent(f"i{number}", [f"c{number % 3}"]) for number in range(items)])
    return made


def test_the_setting_names_every_model() -> None:
    assert set(get_args(TrainerSettings.model_fields["trainer_model"].annotation)) == set(MODELS)
    assert TrainerSettings.model_fields["trainer_model"].default == DEFAULT_MODEL


@every_model
def test_shapes_match_the_contract_and_torch_agrees_with_onnx(name: str) -> None:
    learner = a_learner(name)
    learner.observe(a_stream(60))
    learner.step()
    weights, generator = learner.snapshot(), torch.Generator().manual_seed(0)
    for tensor in (*weights.encoder.values(), *weights.ranker.values()):
        tensor.add_(0.05 * torch.rand(tensor.shape, generator=generator))
    graphs = exporter_of(name).export(weights)
    assert largest_difference(graphs, weights, probe_of(learner, weights)) < PARITY_TOLERANCE
    for batch, rows, excluded, candidates in ((1, 101, 1, 1), (9, 300, 40, 60)):
        inputs = example_inputs(batch, rows, excluded, generator)
        inputs[2][0, :45] = 0
        features = torch.randn(batch, candidates, len(FEATURES), generator=generator)
        features[features > 1.5] = torch.nan  # missing
        ranked = features, torch.arange(batch) % 5
        assert largest_difference(graphs, weights, Probe(inputs, ranked)) < PARITY_TOLERANCE
        encode, rank = modules(weights)
        users, top_scores, top_rows = encode(*inputs)
        scores, predictions = rank(*ranked)
        assert (users.shape, top_scores.shape, top_rows.shape) == ((batch, DIM), (batch, TOP_K), (batch, TOP_K))
        assert (scores.shape, predictions.shape) == ((batch, candidates), (batch, candidates, len(ACTIONS)))


@every_model
def test_the_scorer_can_load_it(name: str) -> None:
    graphs = exporter_of(name).export(a_learner(name).snapshot())
    served = OnnxModel.load(
        {
            "version": 3,
            "contract": hash_of_contract(),
            "encode": graphs.encode,
            "rank": graphs.rank,
            "features": list(FEATURES),
            "actions": list(ACTIONS),
        }
    )
    assert served.version == 3


@every_model
def test_a_planted_feature_is_learned(name: str) -> None:
    learner, random = a_learner(name), np.random.default_rng(0)
    hits = []
    for step in range(40):
        events = []
        for user in range(256):
            candidates = features(10, int(random.integers(1 << 30)))
            best = int(candidates[:, PLANTED].argmax())
            events.append(next_item(f"u{user}", f"i{user % 30}", step, best, candidates))
        sets, _ = learner.ranker.observe(events, [])
        with torch.no_grad():
            scores, _ = learner.ranker.ranker(sets.features, sets.scenarios)
        hits.append((scores.argmax(1) == sets.chosen.targets).float().mean().item())
        learner.ranker.step()
    assert hits[-1] > 0.75 > hits[0] + 0.4


@pytest.mark.parametrize("name", ["gru4rec", "hstu", "transformer", "youtube_dnn", "ncf", "linear"])
def test_a_planted_order_is_learned(name: str) -> None:
    learner = a_learner(name, 20, events_per_step=20, users_per_step=20, min_sampled_users=0)
    losses: list[float] = []
    for step in range(24):
        learner.encoder.observe([next_item(f"u{user}", f"i{(user + step) % 20}", step * 1000) for user in range(200)])
        losses += learner.encoder.step(rehearse=True)
    assert losses[0] > 2.5
    assert np.mean(losses[-10:]) < 1.2


@every_model
def test_an_unknown_item_is_added(name: str) -> None:
    learner = a_learner(name, 3)
    learner.observe([next_item("u1", "unknown", 0), next_item("u1", "i1", 1000)])
    learner.step()
    weights = learner.snapshot()
    assert "unknown" in weights.item_ids
    assert weights.finite()


@every_model
def test_grouping_windows_by_length_gives_the_same_gradients(name: str) -> None:
    trainer = a_learner(name, 60).encoder
    with torch.no_grad():
        for weights in trainer.encoder.parameters():
            weights.add_(0.1 * torch.rand(weights.shape, generator=torch.Generator().manual_seed(1)))
    random = np.random.default_rng(0)
    lengths = [1] * 10 + [3] * 12 + [12] * 5 + [30] * 9 + [60]
    rows_of = {f"u{user}": (random.permutation(60)[:length] + 1).tolist() for user, length in enumerate(lengths)}
    windows = a_store(rows_of).windows(np.arange(len(lengths)))
    results = []
    for by_length in (False, True):
        candidates = {VIDEO: full_softmax(np.arange(1, 61), targets_in(windows, VIDEO))}
        result = next_item_loss(
            trainer.encoder, trainer.table, windows, candidates, trainer._unseen_only, None, by_length=by_length
        )
        trainer.encoder.zero_grad()
        result.loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        gradients = [weights.grad for weights in trainer.encoder.parameters() if weights.grad is not None]
        results.append([result.loss.detach(), result.embedding.grad, *gradients])
    assert len(results[0]) > 5
    torch.testing.assert_close(results[1], results[0], rtol=1e-3, atol=1e-6)


@every_model
def test_weights_of_another_kind_are_refused(name: str) -> None:
    other = next(kind for kind in MODELS if kind != name)
    state = a_learner(name, 2).state()
    with pytest.raises(ValueError, match=name):
        a_learner(other, 2).restore(state)


@every_model
def test_weights_of_another_contract_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner, path = a_learner(name, 2), tmp_path / "trainer.ckpt"
    traced = cache_paths(tmp_path, name, Columns())
    write_checkpoint(path, TrainerCheckpoint({}, learner.state()))
    assert read_checkpoint(path, name) is not None
    monkeypatch.setattr(checkpoint, "is_compatible", lambda contract: contract == "another")
    monkeypatch.setattr(graphs_module, "hash_of_contract", lambda: "another")
    assert read_checkpoint(path, name) is None
    assert set(cache_paths(tmp_path, name, Columns())).isdisjoint(traced)


def test_variational_dropout_drops_the_same_units_at_every_position() -> None:
    encoder, x = Gru4Rec(Columns()), torch.ones(3, 7, DIM)
    dropped = encoder._apply_dropout(x, Dropout(np.random.default_rng(0), 0.5)) == 0
    assert torch.equal(dropped, dropped[:, :1].expand_as(dropped))
    assert 0 < dropped[:, 0].float().mean() < 1
    assert not torch.equal(dropped[0], dropped[1])


@pytest.mark.parametrize("objective", ["masked", "contrastive"])
@pytest.mark.parametrize("name", ["gru4rec", "hstu", "transformer"])
def test_a_self_supervised_objective_changes_the_weights(name: str, objective: str) -> None:
    plain, supervised = a_learner(name), a_learner(name, objective=objective)
    for learner in (plain, supervised):
        learner.observe(a_stream(100))
        learner.step()
    scales = [learner.encoder.encoder.scale.detach() for learner in (plain, supervised)]
    assert not torch.equal(*scales)
    assert supervised.snapshot().finite()


def test_self_supervised_losses_decrease() -> None:
    learner = a_learner("transformer", 20)
    encoder, dropout = learner.encoder.encoder, learner.encoder._dropout
    interactions = histories(8, 12)
    batch = AuxiliaryInputs(
        interactions,
        torch.zeros(8, 12, dtype=torch.int64),
        torch.arange(96).view(8, 12),
        interactions.vectors.flatten(0, 1),
        torch.zeros(96),
    )
    optimiser = torch.optim.Adam(encoder.parameters(), lr=1e-2)
    losses = []
    for step in range(40):
        users = encoder(interactions, batch.scenarios, dropout)
        loss = masked_loss(encoder, batch, dropout, np.random.default_rng(step)) + contrastive_loss(
            encoder, batch, users, dropout
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5])
