"""Compares the released graphs with the trained model. The only module of the trainer that uses onnxruntime."""

from dataclasses import dataclass

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch.nn import functional

from eddy.contract.model import DIM, ENCODE_INPUTS, HISTORY, PADDING_BIAS, PADDING_ROW, RANK_INPUTS
from eddy_trainer.core.graphs import Graphs, modules
from eddy_trainer.core.learner import Learner, Weights

PROBED_USERS = 8
PROBED_CANDIDATE_SETS = 8
PROBED_ROWS = 2048


@dataclass(frozen=True, slots=True)
class Probe:
    """Inputs of both graphs, in the contract's order."""

    encode: tuple[torch.Tensor, ...]
    rank: tuple[torch.Tensor, ...]


def largest_difference(graphs: Graphs, weights: Weights, probe: Probe) -> float:
    """Return the largest difference of any output between PyTorch and ONNX Runtime on the probe; NaN if an output is NaN.

    Rows of the top items are not compared, because the order of equal scores is undefined; their scores are.
    """
    encode, rank = modules(weights)
    with torch.no_grad():
        users, top_scores, _ = encode(*probe.encode)
        expected = [users, top_scores, *rank(*probe.rank)]
    actual = _run(graphs.encode, ENCODE_INPUTS, probe.encode)[:2] + _run(graphs.rank, RANK_INPUTS, probe.rank)
    differences = [
        np.abs(torch_output.numpy() - onnx_output).max()
        for torch_output, onnx_output in zip(expected, actual, strict=True)
    ]
    return float(np.max(differences))


def probe_of(learner: Learner, weights: Weights) -> Probe:
    """Return the most recently active users, one without a history, and recent candidate sets, on the first rows of the table."""
    windows = learner.encoder.sequences.windows(learner.encoder.sequences.latest(PROBED_USERS))
    columns = [torch.from_numpy(x) for x in (windows.rows, windows.actions, windows.values, windows.gaps)]
    history, actions, values, gaps = (functional.pad(x, (HISTORY - x.shape[1], 0, 0, 1)) for x in columns)
    table = torch.zeros(PROBED_ROWS, DIM)
    vectors = torch.from_numpy(weights.vectors[:PROBED_ROWS])
    table[: len(vectors)] = vectors
    bias = torch.where(torch.arange(PROBED_ROWS) < len(vectors), 0.0, PADDING_BIAS)
    bias[PADDING_ROW] = PADDING_BIAS
    history = history % len(vectors)
    scenarios = torch.cat([torch.from_numpy(windows.scenarios[:, -1]), torch.zeros(1, dtype=torch.int64)])
    candidate_sets = learner.ranker.candidate_sets.latest(PROBED_CANDIDATE_SETS)
    return Probe(
        (table, bias, history, actions, values, gaps, scenarios, history),
        (candidate_sets.features, candidate_sets.scenarios),
    )


def _run(graph: bytes, names: tuple[str, ...], inputs: tuple[torch.Tensor, ...]) -> list[NDArray[np.float32]]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    feed = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
    outputs: list[NDArray[np.float32]] = session.run(None, feed)
    return outputs
