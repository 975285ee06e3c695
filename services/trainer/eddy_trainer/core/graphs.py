"""The two ONNX graphs of a release: traced once, after which only their initializers are replaced.

The only module that uses torch.onnx and onnx.
"""

import fcntl
import hashlib
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
from eddy.set_aside import set_aside
from eddy_trainer.core.learner import Weights
from eddy_trainer.core.models import MODELS
from eddy_trainer.core.models.attention import MASKED_LOGIT
from eddy_trainer.core.models.encoder import Encoder, Interactions
from eddy_trainer.core.models.ranker import Ranker

Tensors = Mapping[str, Tensor]
DIGEST_BYTES = 32  # SHA-256, before the graph in a cached file
CACHED_FILES = 64  # about 20 MB: the graphs of all kinds of model, for some sets of features
M = TypeVar("M", bound=nn.Module)


class EncodeGraph(nn.Module):
    """`encode` of the model contract: item table and histories to user vectors and the top items."""

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
        histories = Interactions(functional.embedding(history, table), history > 0, actions, values, gaps)
        constants = [getattr(self, name) for name in self._names]
        users = self.encoder.encode(histories, scenarios[:, None], constants, 1)[:, 0]
        scores = (users @ table.T + bias).scatter(1, excluded, MASKED_LOGIT)
        top_scores, top_rows = torch.topk(scores, TOP_K, dim=1)
        rescored = self.encoder.rescore(users, functional.embedding(top_rows, table))
        if rescored is not None:
            top_scores, order = torch.sort(
                torch.where(top_scores > MASKED_LOGIT / 2, rescored, top_scores), descending=True
            )
            top_rows = top_rows.gather(1, order)
        return users, top_scores, top_rows


class RankGraph(nn.Module):
    """`rank` of the model contract: predictions as if every item were shown at the first position."""

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
    """Replaces the weights of traced graphs: milliseconds, where tracing takes seconds."""

    def __init__(self, traced: Graphs) -> None:
        self.traced = traced
        self._encode = onnx.load_from_string(traced.encode)
        self._rank = onnx.load_from_string(traced.rank)

    @staticmethod
    def trace(model: str, columns: Columns) -> "GraphExporter":
        """Trace both graphs of a kind of model for the features and actions of `columns`.

        Nothing else may use torch meanwhile, because tracing replaces its global state.
        """
        return GraphExporter(Graphs(*(part.trace() for part in _parts(model, columns))))

    @staticmethod
    def cached(folder: Path, model: str, columns: Columns) -> "GraphExporter":
        """Load graphs that another process traced from the same code from `folder`, or trace them and store them there.

        Each graph has a file of its own: kinds of model share encoders and rankers, and only the ranker depends on the features.
        Of processes that start at once, one traces and the others wait for it.
        """
        return GraphExporter(Graphs(*(_load(folder, part) or _store(folder, part) for part in _parts(model, columns))))

    def export(self, weights: Weights) -> Graphs:
        """Return both graphs with `weights`."""
        encode, rank = modules(weights)
        return Graphs(_with_weights(self._encode, encode.state_dict()), _with_weights(self._rank, rank.state_dict()))


@dataclass(frozen=True, slots=True)
class _Part:
    """A graph of a kind of model: its file in the cache, and how it is traced."""

    file_name: str
    trace: Callable[[], bytes]


def cache_paths(folder: Path, model: str, columns: Columns) -> list[Path]:
    """Return the files in `folder` with the traced graphs of this code, `encode` first."""
    return [folder / part.file_name for part in _parts(model, columns)]


def _parts(model: str, columns: Columns) -> tuple[_Part, _Part]:
    """Both graphs of a kind of model. A file name holds all that its trace depends on: code, contract, class, features and actions."""
    encoder, ranker = MODELS[model].encoder, MODELS[model].ranker
    features, actions = len(columns.features), len(columns.actions)
    code = _hash_of_code()
    return (
        _Part(
            f"encode-{encoder.__name__}-{actions}-{code}.onnx",
            lambda: _trace_encode(_with_random_weights(EncodeGraph(encoder(columns)).eval())).SerializeToString(),
        ),
        _Part(
            f"rank-{ranker.__name__}-{features}-{actions}-{code}.onnx",
            lambda: _trace_rank(_with_random_weights(RankGraph(ranker(columns)).eval()), features).SerializeToString(),
        ),
    )


def _hash_of_code() -> str:
    digest = hashlib.sha256(torch.__version__.encode())
    for path in (Path(__file__), *sorted(Path(__file__).with_name("models").glob("*.py"))):
        digest.update(path.read_bytes())
    digest.update(hash_of_contract().encode())
    return digest.hexdigest()[:16]


def _load(folder: Path, part: _Part) -> bytes | None:
    """The graph in the cache; None if it is absent or not as it was written."""
    try:
        content = (folder / part.file_name).read_bytes()
    except OSError:
        return None
    digest, graph = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if hashlib.sha256(graph).digest() != digest:
        set_aside(folder / part.file_name, "damaged: its hash is not that of its content. The graph is traced again.")
        return None
    with suppress(OSError):
        (folder / part.file_name).touch()  # in use, see _prune
    return graph


def _store(folder: Path, part: _Part) -> bytes:
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder / "lock"):
        graph = _load(folder, part)  # another process may have traced it meanwhile
        if graph is None:
            graph = part.trace()
            draft = folder / f"{part.file_name}.{os.getpid()}"
            draft.write_bytes(hashlib.sha256(graph).digest() + graph)
            draft.replace(folder / part.file_name)
            _prune(folder)
    return graph


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Exclude other processes, and other threads, that lock the same file. The end of a process unlocks it."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _prune(folder: Path) -> None:
    """Delete all but the CACHED_FILES files that were used last: those of former code, and drafts of processes that were killed."""
    used: dict[Path, float] = {}
    for path in folder.glob("*.onnx*"):
        with suppress(OSError):  # another process deleted it
            used[path] = path.stat().st_mtime
    for path in sorted(used, key=lambda path: -used[path])[CACHED_FILES:]:
        path.unlink(missing_ok=True)


def modules(weights: Weights) -> tuple[EncodeGraph, RankGraph]:
    """Return both graphs as PyTorch modules with `weights`."""
    kinds = MODELS[weights.model]
    encoder, ranker = kinds.encoder(weights.columns), kinds.ranker(weights.columns)
    encoder.load_state_dict(weights.encoder)
    ranker.load_state_dict(weights.ranker)
    return EncodeGraph(encoder).eval(), RankGraph(ranker).eval()


def example_inputs(batch: int, rows: int, excluded: int, generator: torch.Generator) -> tuple[Tensor, ...]:
    """Return random inputs of `encode` with the contract's shapes."""

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
    """Randomise the weights in place: the exporter merges equal tensors, such as two of zeros."""
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
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it warns that torchvision is not installed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter triggers its own deprecation warnings
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
        raise FatalError("torch.onnx.export returned no graph; report this with the version of PyTorch")
    traced = program.model_proto
    for node in traced.graph.node:
        node.ClearField("metadata_props")  # stack traces with paths of this machine
        node.ClearField("doc_string")
    return traced


def check_names(traced: onnx.ModelProto, tensors: Tensors, unused: set[str]) -> None:
    """Raise FatalError if a tensor of the module is not an initializer of the same name and shape: its old value would stay in releases."""
    shapes = {initializer.name: tuple(initializer.dims) for initializer in traced.graph.initializer}
    for name, tensor in tensors.items():
        if name not in unused and shapes.get(name) != tuple(tensor.shape):
            raise FatalError(
                f"the traced graph has no initializer {name} of shape {tuple(tensor.shape)}; see Encoder.constants"
            )


def _with_weights(traced: onnx.ModelProto, tensors: Tensors) -> bytes:
    filled = onnx.ModelProto()
    filled.CopyFrom(traced)
    for initializer in filled.graph.initializer:
        tensor = tensors.get(initializer.name)
        if tensor is not None:
            initializer.raw_data = np.ascontiguousarray(tensor.numpy(), "<f4").tobytes()
    serialized: bytes = filled.SerializeToString()
    return serialized
