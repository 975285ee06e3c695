"""Small graphs of the model contract, and releases of them."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from eddy.contract.codec import Record
from eddy.contract.model import (
    ACTIONS,
    CURRENT_COLUMNS,
    DIM,
    FEATURES,
    HISTORY,
    OPSET,
    TOP_K,
    Columns,
    hash_of_contract,
)
from eddy.contract.records import ItemEmbedding, ModelRelease
from eddy.contract.releases import sign_embeddings, sign_release
from tests.release_keys import SIGNING_KEY

_IR = 10

# Element type and shape by name.
_Tensors = dict[str, tuple[Any, list[Any]]]


def encode_graph(seed: int = 0) -> bytes:
    """User vector: the sum of the embeddings of the history, plus a random vector that depends on the seed."""
    base = np.random.default_rng(seed).standard_normal((1, DIM)).astype(np.float32) * 0.1
    constants = {
        "base": base,
        "last_axis": np.array([1], np.int64),
        "masked": np.array([-1e9], np.float32),
        "k": np.array([TOP_K], np.int64),
    }
    nodes = [
        _node("Gather", ["table", "history"], ["rows"], axis=0),
        _node("ReduceSum", ["rows", "last_axis"], ["summed"], keepdims=0),
        _node("Add", ["summed", "base"], ["users"]),
        _node("Transpose", ["table"], ["transposed"], perm=[1, 0]),
        _node("MatMul", ["users", "transposed"], ["dots"]),
        _node("Add", ["dots", "bias"], ["scores"]),
        _node("Shape", ["excluded"], ["shape"]),
        _node("Expand", ["masked", "shape"], ["masks"]),
        _node("ScatterElements", ["scores", "excluded", "masks"], ["open"], axis=1),
        _node("TopK", ["open", "k"], ["top_scores", "top_rows"], axis=1),
    ]
    inputs: _Tensors = {
        "table": (TensorProto.FLOAT, ["N", DIM]),
        "bias": (TensorProto.FLOAT, ["N"]),
        "history": (TensorProto.INT64, ["B", HISTORY]),
        "actions": (TensorProto.INT64, ["B", HISTORY]),
        "values": (TensorProto.FLOAT, ["B", HISTORY]),
        "gaps": (TensorProto.FLOAT, ["B", HISTORY]),
        "scenarios": (TensorProto.INT64, ["B"]),
        "excluded": (TensorProto.INT64, ["B", "S"]),
    }
    outputs: _Tensors = {
        "users": (TensorProto.FLOAT, ["B", DIM]),
        "top_scores": (TensorProto.FLOAT, ["B", TOP_K]),
        "top_rows": (TensorProto.INT64, ["B", TOP_K]),
    }
    return _bytes("encode", nodes, inputs, outputs, constants)


def rank_graph(
    weights: dict[str, float] | None = None,
    constant: float = 0.0,
    bias: float = 0.0,
    columns: Columns = CURRENT_COLUMNS,
) -> bytes:
    """Score: weighted sum of features (default: the encoder's score) plus `bias`; every prediction is `constant`."""
    column = np.zeros((len(columns.features), 1), np.float32)
    for name, weight in (weights or {"encoder_score": 1.0}).items():
        column[columns.features.index(name)] = weight
    constants: dict[str, np.ndarray[Any, Any]] = {
        "column": column,
        "bias": np.array([bias], np.float32),
        "nothing": np.zeros((len(columns.features), len(columns.actions)), np.float32),
        "constant": np.array([constant], np.float32),
        "axis": np.array([2], np.int64),
    }
    nodes = [
        _node("MatMul", ["features", "column"], ["summed"]),
        _node("Squeeze", ["summed", "axis"], ["flat"]),
        _node("Add", ["flat", "bias"], ["scores"]),
        _node("MatMul", ["features", "nothing"], ["zeros"]),
        _node("Add", ["zeros", "constant"], ["predictions"]),
    ]
    inputs: _Tensors = {
        "features": (TensorProto.FLOAT, ["B", "C", len(columns.features)]),
        "scenarios": (TensorProto.INT64, ["B"]),
    }
    outputs: _Tensors = {
        "scores": (TensorProto.FLOAT, ["B", "C"]),
        "predictions": (TensorProto.FLOAT, ["B", "C", len(columns.actions)]),
    }
    return _bytes("rank", nodes, inputs, outputs, constants)


def release(version: int, offsets: list[int] | None = None, **changes: Any) -> Record:
    """A signed `model_release` with `changes`; a `signature` among them replaces the right one."""
    encode, rank = changes.pop("encode", encode_graph(version)), changes.pop("rank", rank_graph())
    record: ModelRelease = {
        "slot": "champion",
        "version": version,
        "contract": hash_of_contract(),
        "encode": encode,
        "rank": rank,
        "embedding_offsets": offsets or [],
        "trained_through": [],
        "metrics": {},
        "released_at": 0,
        "signature": "",
        "features": list(FEATURES),
        "actions": list(ACTIONS),
    }
    record.update(changes)  # type: ignore[typeddict-item]
    return {**sign_release(record, SIGNING_KEY), **changes}


def embedding(item_id: str, version: int, vector: np.ndarray[Any, Any], bias: float = 0.0) -> Record:
    """A signed `item_embedding`."""
    record: ItemEmbedding = {
        "item_id": item_id,
        "version": version,
        "vector": vector.astype("<f4").tobytes(),
        "bias": bias,
        "signature": b"",
    }
    sign_embeddings([record], SIGNING_KEY)
    return {**record}


def _node(kind: str, inputs: list[str], outputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs, outputs, **attributes)


def _bytes(
    name: str,
    nodes: list[onnx.NodeProto],
    inputs: _Tensors,
    outputs: _Tensors,
    constants: dict[str, np.ndarray[Any, Any]],
) -> bytes:
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(key, kind, shape) for key, (kind, shape) in outputs.items()],
        [numpy_helper.from_array(value, key) for key, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())
