"""Releases: ONNX Runtime agrees with PyTorch, and replaced weights equal a new trace."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from eddy.contract.model import (
    ACTIONS,
    DIM,
    ENCODE_INPUTS,
    FEATURES,
    HISTORY,
    PADDING_BIAS,
    PARITY_TOLERANCE,
    TOP_K,
    Columns,
)
from eddy.errors import FatalError
from eddy_trainer.core import graphs as graphs_module
from eddy_trainer.core.graphs import (
    CACHED_FILES,
    DIGEST_BYTES,
    GraphExporter,
    cache_paths,
    check_names,
    example_inputs,
    modules,
)
from eddy_trainer.core.learner import Weights
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.core.parity import Probe, largest_difference, probe_of
from tests.trainer.factories import a_stream, learner

pytestmark = pytest.mark.slow


def random_weights(seed: int) -> Weights:
    weights = learner(items=5).snapshot()
    generator = torch.Generator().manual_seed(seed)
    for tensors in (weights.encoder, weights.ranker):
        for tensor in tensors.values():
            tensor.add_(0.1 * torch.rand(tensor.shape, generator=generator))
    return weights


def a_probe(batch: int, rows: int, excluded: int, candidates: int, seed: int = 0) -> Probe:
    generator = torch.Generator().manual_seed(seed)
    encode = example_inputs(batch, rows, excluded, generator)
    rank = (torch.randn(batch, candidates, len(FEATURES), generator=generator), torch.arange(batch) % 5)
    return Probe(encode, rank)


@pytest.mark.parametrize(
    ("batch", "rows", "excluded", "candidates"), [(1, 101, 1, 1), (2, 500, 50, 60), (9, 130, 3, 7)]
)
def test_torch_and_onnx_agree_at_every_shape(
    exporter: GraphExporter, batch: int, rows: int, excluded: int, candidates: int
) -> None:
    weights = random_weights(batch)
    difference = largest_difference(exporter.export(weights), weights, a_probe(batch, rows, excluded, candidates))
    assert difference < PARITY_TOLERANCE


def test_padded_and_empty_histories_agree(exporter: GraphExporter) -> None:
    weights, probe = random_weights(1), a_probe(3, 200, 5, 4)
    history = probe.encode[2]
    history[0] = 0
    history[1, : HISTORY - 2] = 0
    assert largest_difference(exporter.export(weights), weights, probe) < PARITY_TOLERANCE


def test_replaced_weights_equal_a_new_trace(exporter: GraphExporter) -> None:
    weights = random_weights(3)
    fresh = GraphExporter.trace(DEFAULT_MODEL, Columns()).export(weights)
    swapped = exporter.export(weights)
    inputs = dict(zip(ENCODE_INPUTS, (x.numpy() for x in example_inputs(2, 150, 4, torch.Generator())), strict=True))
    one, other = (onnxruntime.InferenceSession(graphs.encode).run(None, inputs) for graphs in (fresh, swapped))
    assert all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


def test_a_difference_is_detected(exporter: GraphExporter) -> None:
    weights, other = random_weights(4), random_weights(5)
    probe = a_probe(2, 150, 4, 3)
    assert largest_difference(exporter.export(other), weights, probe) > PARITY_TOLERANCE
    broken = random_weights(4)
    broken.encoder["scale"][0] = float("nan")
    assert not largest_difference(exporter.export(broken), weights, probe) <= PARITY_TOLERANCE


def test_excluded_items_and_padding_are_never_among_the_top_items(exporter: GraphExporter) -> None:
    table, bias, *others, excluded = example_inputs(2, 150, 30, torch.Generator().manual_seed(1))
    bias[0] = bias[120:] = PADDING_BIAS
    session = onnxruntime.InferenceSession(exporter.export(random_weights(6)).encode)
    feed = {name: x.numpy() for name, x in zip(ENCODE_INPUTS, (table, bias, *others, excluded), strict=True)}
    users, scores, rows = session.run(None, feed)
    assert (users.shape, scores.shape, rows.shape) == ((2, DIM), (2, TOP_K), (2, TOP_K))
    for user in range(2):
        taken = rows[user][scores[user] > PADDING_BIAS / 2]
        assert set(taken.tolist()).isdisjoint({0, *range(120, 150), *excluded[user].tolist()})


def test_predictions_are_for_the_first_position() -> None:
    weights = random_weights(7)
    _, rank = modules(weights)
    _, (features, scenarios) = (probe := a_probe(3, 101, 1, 1)).encode, probe.rank
    expected = torch.sigmoid(
        rank.ranker.impression_logits(features[:, 0], scenarios, torch.zeros(3, dtype=torch.int64))
    )
    assert expected.shape == (3, len(ACTIONS))
    torch.testing.assert_close(rank(features, scenarios)[1][:, 0], expected)


def test_a_tensor_without_an_initializer_is_detected(exporter: GraphExporter) -> None:
    traced = onnx.load_from_string(exporter.traced.rank)
    check_names(traced, {"ranker.first": torch.zeros(len(FEATURES), 64)}, set())
    for tensors in ({"ranker.renamed": torch.zeros(2)}, {"ranker.first": torch.zeros(3, 3)}):
        with pytest.raises(FatalError):
            check_names(traced, tensors, set())


def test_a_damaged_trace_in_the_cache_is_replaced(traced_folder: Path, tmp_path: Path) -> None:
    """Truncated, or with other bytes: a graph whose digest does not match is traced again."""
    GraphExporter.cached(traced_folder, "linear", Columns())
    kept = [path.read_bytes() for path in cache_paths(traced_folder, "linear", Columns())]
    encode, rank = cache_paths(tmp_path, "linear", Columns())
    encode.write_bytes(kept[0][: len(kept[0]) // 2])
    rank.write_bytes(kept[1][:-1] + bytes([kept[1][-1] ^ 1]))
    GraphExporter.cached(tmp_path, "linear", Columns())
    assert [encode.read_bytes(), rank.read_bytes()] == kept
    before = encode.stat().st_ino  # a new trace is a new file; a use only touches it
    GraphExporter.cached(tmp_path, "linear", Columns())
    assert encode.stat().st_ino == before


def test_the_cache_is_bounded_and_who_comes_at_once_traces_once(
    traced_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    GraphExporter.cached(traced_folder, "linear", Columns())
    encode, rank = cache_paths(tmp_path, "linear", Columns())
    shutil.copy(traced_folder / encode.name, encode)
    for number in range(CACHED_FILES + 20):
        path = tmp_path / f"encode-Former-{number}.onnx{'.123' * (number % 2)}"
        path.write_bytes(b"former code")
        os.utime(path, (number, number))
    traces: list[int] = []
    trace_rank = graphs_module._trace_rank
    monkeypatch.setattr(graphs_module, "_trace_rank", lambda *graph: traces.append(1) or trace_rank(*graph))
    with ThreadPoolExecutor() as pool:
        exporters = list(pool.map(lambda _: GraphExporter.cached(tmp_path, "linear", Columns()), range(3)))
    assert len(traces) == 1
    assert {exporter.traced.rank for exporter in exporters} == {rank.read_bytes()[DIGEST_BYTES:]}
    assert len(list(tmp_path.glob("*.onnx*"))) == CACHED_FILES
    assert encode.exists()
    # A graph in use stays, however old it is.
    os.utime(encode, (1, 1))
    GraphExporter.cached(tmp_path, "linear", Columns())
    assert encode.stat().st_mtime > 1


def test_kinds_share_traces_and_features_concern_only_the_ranker(tmp_path: Path) -> None:
    encode, rank = cache_paths(tmp_path, DEFAULT_MODEL, Columns())
    fewer = cache_paths(tmp_path, DEFAULT_MODEL, Columns(FEATURES[1:]))
    assert fewer[0] == encode
    assert fewer[1] != rank
    assert cache_paths(tmp_path, "hstu", Columns())[1] == rank
    assert cache_paths(tmp_path, "mlp", Columns())[0] == cache_paths(tmp_path, "linear", Columns())[0] != encode
    for kind in ("mlp", "linear"):
        assert cache_paths(tmp_path, kind, Columns(FEATURES, ACTIONS[1:]))[0] != encode


def test_the_probe_of_a_learner_agrees_from_the_first_example(exporter: GraphExporter) -> None:
    trained = learner()
    for events in (1, 40):
        trained.observe(a_stream(events))
        trained.step()
        weights = trained.snapshot()
        assert largest_difference(exporter.export(weights), weights, probe_of(trained, weights)) < PARITY_TOLERANCE
