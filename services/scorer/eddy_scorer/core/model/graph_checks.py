"""Checks of a graph before it is loaded: loading may already read files and run operators. The only file of the scorer that uses onnx."""

from collections.abc import Iterable

import onnx

from eddy.contract.limits import MAX_GRAPH_BYTES
from eddy.contract.model import OPSET
from eddy.errors import PoisonError

MAX_NODES = 5000
STANDARD_DOMAINS = ("", "ai.onnx")
# Operators whose work is bounded by the sizes of their inputs: no control flow, no randomness, no strings, no state.
ALLOWED_OPERATORS = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "ArgMax",
        "ArgMin",
        "BatchNormalization",
        "Cast",
        "CastLike",
        "Ceil",
        "Clip",
        "Concat",
        "Constant",
        "ConstantOfShape",
        "Cos",
        "CumSum",
        "Div",
        "Einsum",
        "Elu",
        "Equal",
        "Erf",
        "Exp",
        "Expand",
        "Flatten",
        "Floor",
        "GRU",
        "Gather",
        "GatherElements",
        "GatherND",
        "Gelu",
        "Gemm",
        "Greater",
        "GreaterOrEqual",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "IsInf",
        "IsNaN",
        "LSTM",
        "LayerNormalization",
        "LeakyRelu",
        "Less",
        "LessOrEqual",
        "Log",
        "LogSoftmax",
        "MatMul",
        "Max",
        "Mean",
        "Min",
        "Mish",
        "Mod",
        "Mul",
        "Neg",
        "Not",
        "OneHot",
        "Or",
        "PRelu",
        "Pad",
        "Pow",
        "RNN",
        "Range",
        "Reciprocal",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
        "Relu",
        "Reshape",
        "Round",
        "ScatterElements",
        "ScatterND",
        "Selu",
        "Shape",
        "Sigmoid",
        "Sign",
        "Sin",
        "Size",
        "Slice",
        "Softmax",
        "Softplus",
        "Softsign",
        "Split",
        "Sqrt",
        "Squeeze",
        "Sub",
        "Sum",
        "Tanh",
        "Tile",
        "TopK",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
        "Xor",
    ]
)


def check_graph(name: str, content: bytes) -> None:
    """Raise PoisonError for a graph that is too large, or uses anything but ALLOWED_OPERATORS on tensors that it contains itself."""
    if len(content) > MAX_GRAPH_BYTES:
        raise _refused(name, f"has {len(content)} bytes; the maximum is {MAX_GRAPH_BYTES}")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except Exception as error:  # protobuf's errors differ by implementation
        raise _refused(name, f"is no ONNX model: {error}") from error
    for opset in model.opset_import:
        if opset.domain not in STANDARD_DOMAINS or opset.version != OPSET:
            raise _refused(name, f"uses the operator set {opset.domain[:64]!r} {opset.version}, not ai.onnx {OPSET}")
    if model.functions or model.training_info or model.graph.sparse_initializer:
        raise _refused(name, "has functions, training information or sparse tensors, which releases may not use")
    if len(model.graph.node) > MAX_NODES:
        raise _refused(name, f"has {len(model.graph.node)} operators; the maximum is {MAX_NODES}")
    for node in model.graph.node:
        _check_node(name, node)
    _check_tensors(name, model.graph.initializer)


def _check_node(name: str, node: onnx.NodeProto) -> None:
    if node.domain not in STANDARD_DOMAINS or node.op_type not in ALLOWED_OPERATORS:
        operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        raise _refused(name, f"has the operator {operator[:64]!r}, which releases may not use")
    for attribute in node.attribute:
        if (
            attribute.HasField("g")
            or attribute.graphs
            or attribute.HasField("sparse_tensor")
            or attribute.sparse_tensors
        ):
            raise _refused(name, f"has a subgraph or a sparse tensor in {node.op_type}, which releases may not use")
        _check_tensors(name, [*([attribute.t] if attribute.HasField("t") else []), *attribute.tensors])


def _check_tensors(name: str, tensors: Iterable[onnx.TensorProto]) -> None:
    for tensor in tensors:
        if tensor.data_location != onnx.TensorProto.DEFAULT or tensor.external_data:
            raise _refused(
                name, f"has data of the tensor {tensor.name[:64]!r} in another file, which releases may not use"
            )


def _refused(name: str, problem: str) -> PoisonError:
    return PoisonError("bad_release", f"the graph {name} {problem}", name)
