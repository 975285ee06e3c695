"""Features are added, removed and renamed in one process: slate, example, checkpoint and release of either side serve the other."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eddy.contract.codec import Codec
from eddy.contract.columns import resolve
from eddy.contract.features import FEATURE_ALIASES
from eddy.contract.legacy import LEGACY_FEATURES
from eddy.contract.message import Message
from eddy.contract.model import CURRENT_COLUMNS, FEATURES, Columns, hash_of_contract
from eddy.contract.records import Recommendations, TrainingExample
from eddy_joiner.core.examples import encode_example
from eddy_joiner.core.outcomes import Impression, Negative
from eddy_joiner.core.slates import read_slate
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_trainer.core.examples import ExampleParser, ImpressionExample
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import Learner, LearnerPolicy
from eddy_trainer.shell.checkpoint import TrainerCheckpoint, read_checkpoint, write_checkpoint
from tests.scorer.factories import NOW, item, item_features, recommend, request, scenarios
from tests.trainer.factories import SCENARIOS, a_stream, features

pytestmark = pytest.mark.slow

MODEL = "mlp"
ADDED, REMOVED = "transition_last_1", "trend"
BEFORE = Columns(tuple(name for name in FEATURES if name != ADDED))
AFTER = Columns(tuple(name for name in FEATURES if name != REMOVED))
# All features, by the names that they had before any was renamed.
FORMER_NAMES = Columns(LEGACY_FEATURES)


def a_scorer(columns: Columns) -> Recommender:
    engine = Recommender(scenarios(), np.random.default_rng(0), columns=columns)
    for number in range(1, 30):
        engine.apply_item(item(f"m{number}"))
        engine.apply_item_features(item_features(f"m{number}", acted=float(number)))
    return engine


def a_learner(columns: Columns) -> Learner:
    return Learner(SCENARIOS, LearnerPolicy(0, MODEL, columns=columns))


def released(learner: Learner, folder: Path, columns: Columns) -> OnnxModel:
    """A release of the learner, as a scorer with `columns` loads it."""
    weights = learner.snapshot()
    graphs = GraphExporter.cached(folder, MODEL, weights.columns).export(weights)
    release = {
        "version": 1,
        "contract": hash_of_contract(),
        "encode": graphs.encode,
        "rank": graphs.rank,
        "features": list(weights.columns.features),
        "actions": list(weights.columns.actions),
    }
    return OnnxModel.load(release, columns)  # type: ignore[arg-type]  # the rest of a release is not read


def _example_of(slate: Recommendations) -> TrainingExample:
    """The example that the joiner makes of the second item of a slate, if nobody engages with it."""
    served = read_slate(Message("recommendations", 0, 0, b"u", Codec.of(Recommendations).encode(slate), NOW))
    item_id = slate["items"][1]["item_id"]
    payload = encode_example(Negative(served, [Impression(served.items()[item_id], NOW, NOW + 1)]), NOW)
    return Codec.of(TrainingExample).decode(payload)


def test_a_trainer_with_other_features_reads_the_example_of_an_earlier_slate() -> None:
    (slate,) = recommend(a_scorer(BEFORE), request("u", limit=3))
    item_id = slate["items"][1]["item_id"]
    example = ExampleParser(SCENARIOS, AFTER).parse(_example_of(slate))
    assert isinstance(example, ImpressionExample)
    row = np.frombuffer(slate["features"], "<f2").reshape(-1, len(BEFORE.features))[slate["considered"].index(item_id)]
    logged = dict(zip(BEFORE.features, row.tolist(), strict=True))
    read = dict(zip(AFTER.features, example.features[0].tolist(), strict=True))
    assert np.isnan(read.pop(ADDED))
    assert logged.pop(REMOVED) > 0
    assert read == logged


def test_a_release_of_either_side_serves_the_other(tmp_path: Path) -> None:
    before = a_learner(BEFORE)
    before.observe([replace(each, features=each.features[:, : len(BEFORE.features)]) for each in a_stream(40)])
    before.step()
    write_checkpoint(tmp_path / "checkpoint", TrainerCheckpoint({}, before.state()))
    saved = read_checkpoint(tmp_path / "checkpoint", MODEL)
    assert saved is not None
    after = a_learner(AFTER)
    after.restore(saved.learner)
    assert after.examples == before.examples == 80
    matrix = features(12).astype(np.float32)[None]
    common = Columns(tuple(name for name in FEATURES if name not in (ADDED, REMOVED)))
    scores = []
    for learner in (before, after):
        for served in (BEFORE, AFTER, common, CURRENT_COLUMNS):
            columns = [FEATURES.index(name) for name in served.features]
            model = released(learner, tmp_path, served)
            ranked, predictions = model.rank(np.ascontiguousarray(matrix[..., columns]), np.zeros(1, np.int64))
            assert np.isfinite(predictions).all()
            scores.append(ranked)
    # Without the removed feature all scores are equal: the added feature has no weight yet.
    of_before, of_after = scores[:4], scores[4:]
    for others in (of_before[1], of_before[2], *of_after):
        np.testing.assert_allclose(others, of_before[1], atol=1e-4)
    assert np.abs(of_before[0] - of_before[1]).max() > 1e-3


def test_former_names_are_those_of_other_features_than_today() -> None:
    assert resolve(LEGACY_FEATURES, FEATURE_ALIASES) == FEATURES
    assert set(LEGACY_FEATURES) - set(FEATURES) == set(FEATURE_ALIASES)


def test_a_checkpoint_with_former_names_keeps_its_weights(tmp_path: Path) -> None:
    former, renamed = a_learner(FORMER_NAMES), a_learner(CURRENT_COLUMNS)
    former.observe(a_stream(40))
    former.step()
    write_checkpoint(tmp_path / "checkpoint", TrainerCheckpoint({}, former.state()))
    saved = read_checkpoint(tmp_path / "checkpoint", MODEL)
    assert saved is not None
    renamed.restore(saved.learner)
    for former_weights, weights in zip(_tensors(former), _tensors(renamed), strict=True):
        np.testing.assert_array_equal(weights, former_weights)
    fresh = _tensors(a_learner(CURRENT_COLUMNS))
    assert any((weights != untrained).any() for weights, untrained in zip(_tensors(renamed), fresh, strict=True))


def test_a_release_with_former_names_ranks_as_one_with_present_names(tmp_path: Path) -> None:
    former = a_learner(FORMER_NAMES)
    former.observe(a_stream(40))
    former.step()
    renamed = a_learner(CURRENT_COLUMNS)
    renamed.restore(former.state())
    matrix, scenario = features(12).astype(np.float32)[None], np.zeros(1, np.int64)
    of_former, of_present = (
        released(learner, tmp_path, CURRENT_COLUMNS).rank(matrix, scenario) for learner in (former, renamed)
    )
    assert np.ptp(of_former[0]) > 1e-3
    for before, after in zip(of_former, of_present, strict=True):
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize("logged_names", [list(LEGACY_FEATURES), []])
def test_an_example_with_former_names_or_none_keeps_its_features(logged_names: list[str]) -> None:
    (slate,) = recommend(a_scorer(CURRENT_COLUMNS), request("u", limit=3))
    parser = ExampleParser(SCENARIOS, CURRENT_COLUMNS)
    before, after = (
        parser.parse(_example_of({**slate, "feature_names": names})) for names in (logged_names, list(FEATURES))
    )
    assert np.isfinite(before.features).all()
    np.testing.assert_array_equal(before.features, after.features)


def _tensors(learner: Learner) -> list[np.ndarray[Any, Any]]:
    weights = learner.snapshot()
    return [tensor.numpy() for part in (weights.encoder, weights.ranker) for tensor in part.values()]
