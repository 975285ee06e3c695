"""Graphs that a signature does not make safe: they are refused within seconds, and the scorer goes on."""

import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from eddy.contract.limits import MAX_GRAPH_BYTES
from eddy.contract.model import ACTIONS, CURRENT_COLUMNS, DIM, FEATURES, HISTORY
from eddy.errors import PoisonError
from eddy_scorer.core.model.graph_checks import ALLOWED_OPERATORS, check_graph
from eddy_scorer.core.model.graphs import MAX_STUCK_LOADS, OnnxModel, StuckLoadError, stuck_loads, within
from eddy_scorer.core.model.probe import PROBED_CANDIDATES, PROBED_USERS, Probe
from eddy_scorer.core.state.users import UserHistories
from tests.scorer.graphs import encode_graph, rank_graph, release

SUBGRAPHS = (onnx.defs.OpSchema.AttrType.GRAPH, onnx.defs.OpSchema.AttrType.GRAPHS)


def changed(content: bytes, *nodes: onnx.NodeProto, **constants: Any) -> bytes:
    """The graph with further nodes and initializers."""
    model = onnx.load_from_string(content)
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    return bytes(model.SerializeToString())


def endless_rank() -> bytes:
    """A rank graph that counts without an end before it answers."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["number", "one"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("number", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1]),
        ],
    )
    model = onnx.load_from_string(rank_graph())
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name)
        for name, value in {"turns": np.array(2**62), "yes": np.array(True), "one": np.ones(1, np.float32)}.items()
    )
    model.graph.node.insert(0, helper.make_node("Loop", ["turns", "yes", "bias"], ["counted"], body=body))
    next(node for node in model.graph.node if "bias" in node.input and node.op_type == "Add").input[1] = "counted"
    return bytes(model.SerializeToString())


def external(path: str) -> bytes:
    model = onnx.load_from_string(rank_graph())
    tensor = next(each for each in model.graph.initializer if each.name == "column")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=path)
    return bytes(model.SerializeToString())


def with_opset(domain: str, version: int) -> bytes:
    model = onnx.load_from_string(rank_graph())
    model.opset_import.append(helper.make_opsetid(domain, version))
    return bytes(model.SerializeToString())


def with_function() -> bytes:
    model = onnx.load_from_string(rank_graph())
    model.functions.add(name="Other", domain="x")
    return bytes(model.SerializeToString())


def external_attribute() -> bytes:
    tensor = TensorProto(name="t", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    return changed(rank_graph(), helper.make_node("Constant", [], ["unused"], value=tensor))


@pytest.mark.parametrize(
    ("graph", "problem"),
    [
        pytest.param(endless_rank(), "Loop", id="Loop"),
        pytest.param(external("secret.bin"), "another file", id="external data"),
        pytest.param(external_attribute(), "another file", id="external data of an attribute"),
        pytest.param(with_opset("com.microsoft", 1), "com.microsoft", id="domain"),
        pytest.param(with_opset("", 7), "7", id="operator set"),
        pytest.param(with_function(), "functions", id="function"),
        pytest.param(rank_graph()[:-40], "no ONNX model", id="truncated"),
        pytest.param(b"\xff" * 64, "no ONNX model", id="garbage"),
        pytest.param(b"x" * (MAX_GRAPH_BYTES + 1), "bytes", id="size"),
        *(
            pytest.param(changed(rank_graph(), helper.make_node(name, ["features"], ["unused"])), name, id=name)
            for name in ("If", "Scan", "RandomNormalLike", "StringNormalizer", "SequenceConstruct", "Bernoulli")
        ),
        pytest.param(
            changed(rank_graph(), helper.make_node("Relu", ["features"], ["unused"], domain="x")), "x.Relu", id="custom"
        ),
    ],
)
def test_graph_is_refused_before_it_is_loaded(
    graph: bytes, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(np.ones(len(FEATURES), np.float32).tobytes())
    for check in (lambda: check_graph("rank", graph), lambda: OnnxModel.load(release(1, rank=graph))):
        with pytest.raises(PoisonError, match=problem) as refused:
            check()
        assert refused.value.reason == "bad_release"


def test_a_graph_that_never_returns_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("eddy_scorer.core.model.graphs.check_graph", lambda *_: None)
    started = time.monotonic()
    with pytest.raises(PoisonError, match=r"within 0\.5 s"):
        OnnxModel.load(release(1, rank=endless_rank()), limit_sec=0.5)
    assert time.monotonic() - started < 10
    deadline = time.monotonic() + 10
    while any(thread.name == "load-release" for thread in threading.enumerate()):
        assert time.monotonic() < deadline, "the thread still runs"
        time.sleep(0.05)


def test_work_that_cannot_be_stopped_does_not_hold_the_caller() -> None:
    ended = threading.Event()
    for _ in range(MAX_STUCK_LOADS):
        with pytest.raises(StuckLoadError, match=r"within 0\.1 s"):
            within(0.1, ended.wait, lambda: None)
    assert stuck_loads() == MAX_STUCK_LOADS
    started = time.monotonic()
    with pytest.raises(PoisonError, match="Restart the scorer"):
        within(60, ended.wait, lambda: None)
    assert time.monotonic() - started < 10
    ended.set()
    while stuck_loads():
        time.sleep(0.01)
    assert within(60, lambda: 7, lambda: None) == 7


def real_inputs() -> Probe:
    """A probe with one request's features, of which one is large, as a count of views is."""
    probe = Probe(len(FEATURES))
    features = np.zeros((1, 12, len(FEATURES)), np.float32)
    features[..., FEATURES.index("popularity")] = np.arange(12) * 100
    probe.note_candidates(features, np.array([2]))
    rows = np.zeros((1, HISTORY), np.int64)
    rows[0, -3:] = [100_000, 7, 300]
    floats = np.zeros((1, HISTORY), np.float32)
    probe.note_users(UserHistories(rows, rows * 0, floats, rows * 0, floats, rows > 0, np.array([3])), np.array([2]))
    return probe


@pytest.mark.parametrize(
    "weights",
    [{"popularity": 3e38}, {"popularity": 1e37, "trend": -1e38}, {"popularity": 1e8}],
    ids=["infinite", "infinite too", "beyond all scores"],
)
def test_weights_that_only_real_features_reveal_are_refused(weights: dict[str, float]) -> None:
    bad = release(1, rank=rank_graph(weights))
    with pytest.raises(PoisonError, match="not finite, or beyond"):
        OnnxModel.load(bad, CURRENT_COLUMNS, real_inputs())


@pytest.mark.parametrize("constant", [1.5, -0.1, float("nan"), float("inf")])
def test_predictions_that_are_no_probabilities_are_refused(constant: float) -> None:
    with pytest.raises(PoisonError, match="no probabilities"):
        OnnxModel.load(release(1, rank=rank_graph(constant=constant)))


def test_encoder_without_finite_users_is_refused() -> None:
    model = onnx.load_from_string(encode_graph())
    base = next(each for each in model.graph.initializer if each.name == "base")
    base.CopyFrom(numpy_helper.from_array(np.full((1, DIM), np.inf, np.float32), "base"))
    with pytest.raises(PoisonError, match="users"):
        OnnxModel.load(release(1, encode=model.SerializeToString()))


def test_wrong_shapes_are_refused() -> None:
    columns = CURRENT_COLUMNS
    with pytest.raises(PoisonError):
        OnnxModel.load(release(1, rank=rank_graph(columns=columns), actions=list(ACTIONS)[:-1]))
    with pytest.raises(PoisonError):
        OnnxModel.load(release(1, rank=rank_graph(columns=columns), features=list(FEATURES)[:-1]))


def test_the_model_remembers_a_bounded_sample_of_its_inputs() -> None:
    probe = Probe(len(FEATURES))
    model = OnnxModel.load(release(1), CURRENT_COLUMNS, probe)
    assert (len(probe.candidates()[0]), len(probe.users(10)[1])) == (2, 2)
    table, bias = np.zeros((200, DIM), np.float32), np.zeros(200, np.float32)
    for number in range(100):
        model.rank(np.full((3, 40, len(FEATURES)), number, np.float32), np.array([1, 1, 1]))
        rows = np.full((1, HISTORY), number, np.int64)
        floats = np.zeros((1, HISTORY), np.float32)
        histories = UserHistories(rows, rows * 0, floats, rows * 0, floats, rows > 0, np.array([HISTORY]))
        model.encode(table, bias, histories, np.array([1]), np.zeros((1, 1), np.int64))
    features, scenarios = probe.candidates()
    assert (len(features), len(scenarios)) == (2 + PROBED_CANDIDATES, 2 + PROBED_CANDIDATES)
    assert features.max() == 99
    histories, scenarios = probe.users(50)
    assert len(scenarios) == 2 + PROBED_USERS
    assert histories.rows.max() == 49


STANDARD_OPERATORS = {schema.name: schema for schema in onnx.defs.get_all_schemas() if schema.domain == ""}


def test_allowed_operators_are_those_of_the_operator_set_and_run_no_subgraph() -> None:
    assert set(STANDARD_OPERATORS) >= ALLOWED_OPERATORS
    for name in ALLOWED_OPERATORS:
        attributes = STANDARD_OPERATORS[name].attributes.values()
        assert not [each.name for each in attributes if each.type in SUBGRAPHS], name


@pytest.mark.parametrize("name", sorted(STANDARD_OPERATORS))
def test_an_operator_is_allowed_only_if_it_is_listed(name: str) -> None:
    graph = changed(rank_graph(), helper.make_node(name, ["features"], ["unused"]))
    if name in ALLOWED_OPERATORS:
        check_graph("rank", graph)
    else:
        with pytest.raises(PoisonError, match=f"operator '{name}'"):
            check_graph("rank", graph)
    with pytest.raises(PoisonError, match=f"x.{name}"):
        check_graph("rank", changed(rank_graph(), helper.make_node(name, ["features"], ["unused"], domain="x")))
