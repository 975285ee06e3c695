"""The two ONNX graphs of a release: traced once, after that only their initializers are replaced.

This is the one place that touches torch.onnx and onnx.
"""

import hashlib
import logging
import os
import pickle
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.model import (
    DIM,
    ENCODE_INPUTS,
    ENCODE_OUTPUTS,
    HISTORY,
    OPSET,
    RANK_INPUTS,
    RANK_OUTPUTS,
    TOP_K,
    Columns,
    hash_of_contract,
)
from eddy.errors import FatalError
from eddy_trainer.core.learner import Weights
from eddy_trainer.core.models import MODELS
from eddy_trainer.core.models.attention import MASKED_LOGIT
from eddy_trainer.core.models.encoder import Encoder, Interactions
from eddy_trainer.core.models.ranker import Ranker

Tensors = Mapping[str, Tensor]
FINGERPRINT_KEY = "eddy.trace"  # key of the fingerprint in a graph's metadata
M = TypeVar("M", bound=nn.Module)


class EncodeGraph(nn.Module):
    """`encode` of the model contract."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder
        constants = encoder.constants(HISTORY, 1)
        self._names = [f"constant_{index}" for index in range(len(constants))]
        for name, constant in zip(self._names, constants, strict=True):
            self.register_buffer(name, constant.detach().clone())

    def forward(
        self,
        table: Tensor,
        bias: Tensor,
        history: Tensor,
        actions: Tensor,
        values: Tensor,
        gaps: Tensor,
        scenarios: Tensor,
        excluded: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        seen = Interactions(functional.embedding(history, table), history > 0, actions, values, gaps)
        constants = [getattr(self, name) for name in self._names]
        users = self.encoder.encode(seen, scenarios[:, None], constants, 1)[:, 0]
        scores = (users @ table.T + bias).scatter(1, excluded, MASKED_LOGIT)
        top_scores, top_rows = torch.topk(scores, TOP_K, dim=1)
        again = self.encoder.rescore(users, functional.embedding(top_rows, table))
        if again is not None:
            top_scores, order = torch.sort(
                torch.where(top_scores > MASKED_LOGIT / 2, again, top_scores), descending=True
            )
            top_rows = top_rows.gather(1, order)
        return users, top_scores, top_rows


class RankGraph(nn.Module):
    """`rank` of the model contract: every item as if it were shown in the first place."""

    first_position: Tensor

    def __init__(self, ranker: Ranker) -> None:
        super().__init__()
        self.ranker = ranker
        self.register_buffer("first_position", ranker.position[0].detach().clone())

    def forward(self, features: Tensor, scenarios: Tensor) -> tuple[Tensor, Tensor]:
        scores, logits = self.ranker(features, scenarios)
        return scores, torch.sigmoid(logits + self.first_position)


@dataclass(frozen=True, slots=True)
class Graphs:
    """Both graphs as ONNX bytes."""

    encode: bytes
    rank: bytes


class GraphExporter:
    """Fills weights into graphs that were traced once: milliseconds instead of seconds."""

    def __init__(self, traced: Graphs) -> None:
        self.traced = traced
        self._encode = onnx.load_from_string(traced.encode)
        self._rank = onnx.load_from_string(traced.rank)

    @staticmethod
    def trace(model: str, columns: Columns) -> "GraphExporter":
        """Trace both graphs of a kind of model with as many features and actions as `columns` has.

        Nothing else may use torch meanwhile: tracing swaps its global state.
        """
        kinds = MODELS[model]
        traced = (
            _trace_encode(_with_random_weights(EncodeGraph(kinds.encoder(columns)).eval())),
            _trace_rank(_with_random_weights(RankGraph(kinds.ranker(columns)).eval()), len(columns.features)),
        )
        for graph in traced:
            graph.metadata_props.add(key=FINGERPRINT_KEY, value=_fingerprint(model, columns))
        return GraphExporter(Graphs(*(graph.SerializeToString() for graph in traced)))

    @staticmethod
    def from_release(release: Graphs, model: str, columns: Columns) -> "GraphExporter | None":
        """The graphs of a release as a trace, where it was traced from the same code for the same kind and size of model."""
        protos = (onnx.load_from_string(release.encode), onnx.load_from_string(release.rank))
        marks = [prop.value for proto in protos for prop in proto.metadata_props if prop.key == FINGERPRINT_KEY]
        return GraphExporter(release) if marks == [_fingerprint(model, columns)] * 2 else None

    @staticmethod
    def cached(folder: Path, model: str, columns: Columns) -> "GraphExporter":
        """The graphs traced by a former process from the same code, kept in `folder`; traced and kept there where there are none."""
        path = folder / f"graphs-{model}-{_fingerprint(model, columns)}.pt"
        try:
            return GraphExporter(Graphs(*torch.load(path, weights_only=True)))
        except (OSError, RuntimeError, ValueError, TypeError, EOFError, pickle.UnpicklingError):  # absent, or cut short
            exporter = GraphExporter.trace(model, columns)
        folder.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        torch.save((exporter.traced.encode, exporter.traced.rank), draft)
        draft.replace(path)
        return exporter

    def export(self, weights: Weights) -> Graphs:
        encode, rank = modules(weights)
        return Graphs(_with_weights(self._encode, encode.state_dict()), _with_weights(self._rank, rank.state_dict()))


def _fingerprint(model: str, columns: Columns) -> str:
    """Of all that a trace of a kind of model depends on: code, contract, and how many features and actions there are."""
    sizes = f"{len(columns.features)} {len(columns.actions)}"
    digest = hashlib.sha256(f"{torch.__version__} {model} {sizes}".encode())
    for path in (Path(__file__), *sorted(Path(__file__).with_name("models").glob("*.py"))):
        digest.update(path.read_bytes())
    digest.update(hash_of_contract().encode())
    return digest.hexdigest()[:16]


def modules(weights: Weights) -> tuple[EncodeGraph, RankGraph]:
    """The graphs in torch, with `weights`."""
    kinds = MODELS[weights.model]
    encoder, ranker = kinds.encoder(weights.columns), kinds.ranker(weights.columns)
    encoder.load_state_dict(weights.encoder)
    ranker.load_state_dict(weights.ranker)
    return EncodeGraph(encoder).eval(), RankGraph(ranker).eval()


def example_inputs(batch: int, rows: int, excluded: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Inputs of `encode` with the contract's shapes."""

    def below(limit: int, *shape: int) -> Tensor:
        return torch.randint(0, limit, shape, generator=generator)

    table = functional.normalize(torch.randn(rows, DIM, generator=generator), dim=1)
    table[0] = 0
    return (
        table,
        torch.zeros(rows),
        below(rows, batch, HISTORY),
        below(3, batch, HISTORY),
        torch.rand(batch, HISTORY, generator=generator),
        torch.rand(batch, HISTORY, generator=generator) * 1e6,
        below(2, batch),
        below(rows, batch, excluded),
    )


def _with_random_weights(graph: M) -> M:
    """The graph with random weights: the exporter merges tensors that are equal, such as two of zeros."""
    generator = torch.Generator().manual_seed(0)
    for tensor in graph.state_dict().values():
        tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return graph


def _trace_encode(graph: EncodeGraph) -> onnx.ModelProto:
    batch, rows, excluded = (torch.export.Dim(name) for name in ("B", "N", "S"))
    shapes = ({0: rows}, {0: rows}, *({0: batch} for _ in range(5)), {0: batch, 1: excluded})
    inputs = example_inputs(3, 4 * TOP_K, 7, torch.Generator().manual_seed(0))
    traced = _trace(graph, inputs, shapes, ENCODE_INPUTS, ENCODE_OUTPUTS)
    unused = {name for name in graph.state_dict() if name.endswith(graph.encoder.derived)}
    check_names(traced, graph.state_dict(), unused)
    return traced


def _trace_rank(graph: RankGraph, features: int) -> onnx.ModelProto:
    batch, candidates = torch.export.Dim("B"), torch.export.Dim("C")
    inputs = (torch.randn(3, 5, features), torch.zeros(3, dtype=torch.int64))
    traced = _trace(graph, inputs, ({0: batch, 1: candidates}, {0: batch}), RANK_INPUTS, RANK_OUTPUTS)
    check_names(traced, graph.state_dict(), {"ranker.position", "ranker.batches"})
    return traced


def _trace(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    shapes: tuple[dict[int, torch.export.Dim], ...],
    input_names: tuple[str, ...],
    output_names: tuple[str, ...],
) -> onnx.ModelProto:
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it reports that torchvision is absent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about its own deprecations
        program = torch.onnx.export(
            graph,
            inputs,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            input_names=list(input_names),
            output_names=list(output_names),
        )
    if program is None:
        raise FatalError("torch.onnx returned no graph")
    traced = program.model_proto
    for node in traced.graph.node:
        node.ClearField("metadata_props")  # stack traces of the machine it was traced on
        node.ClearField("doc_string")
    return traced


def check_names(traced: onnx.ModelProto, tensors: Tensors, unused: set[str]) -> None:
    """Every tensor of the module must be an initializer of its name and shape, or a swap would leave an old one in place."""
    shapes = {initializer.name: tuple(initializer.dims) for initializer in traced.graph.initializer}
    for name, tensor in tensors.items():
        if name not in unused and shapes.get(name) != tuple(tensor.shape):
            raise FatalError(f"the traced graph has no initializer {name} of shape {tuple(tensor.shape)}")


def _with_weights(traced: onnx.ModelProto, tensors: Tensors) -> bytes:
    filled = onnx.ModelProto()
    filled.CopyFrom(traced)
    for initializer in filled.graph.initializer:
        tensor = tensors.get(initializer.name)
        if tensor is not None:
            initializer.raw_data = np.ascontiguousarray(tensor.numpy(), "<f4").tobytes()
    serialized: bytes = filled.SerializeToString()
    return serialized
