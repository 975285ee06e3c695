"""The one place that touches onnxruntime (it has no type stubs): both graphs of a release as a Model."""

from typing import Any

import numpy as np
import onnxruntime

from eddy.contract.model import (
    ACTIONS,
    DIM,
    ENCODE_INPUTS,
    ENCODE_OUTPUTS,
    FEATURES,
    HISTORY,
    RANK_INPUTS,
    RANK_OUTPUTS,
    TOP_K,
)
from eddy.contract.records import ModelRelease
from eddy.errors import PoisonError
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.users import Histories

_WARM_ROWS = 256


class OnnxModel:
    """A release on onnxruntime, one thread. Raises PoisonError from `load` when the graphs do not run as the contract says."""

    def __init__(self, version: int, encode: bytes, rank: bytes) -> None:
        self.version = version
        self._encode = _session(encode)
        self._rank = _session(rank)
        _check_names(self._encode, ENCODE_INPUTS, ENCODE_OUTPUTS)
        _check_names(self._rank, RANK_INPUTS, RANK_OUTPUTS)

    @staticmethod
    def load(release: ModelRelease) -> "OnnxModel":
        """Build and warm a `model_release` record; may run in another thread than the model that serves."""
        try:
            model = OnnxModel(release["version"], release["encode"], release["rank"])
            _warm(model)
        except PoisonError:
            raise
        except Exception as error:  # onnxruntime raises whatever the bytes lead to
            raise PoisonError("bad_release", f"{type(error).__name__}: {error}") from error
        return model

    def encode(
        self, table: F32, bias: F32, histories: Histories, scenarios: I64, excluded: I64
    ) -> tuple[F32, F32, I64]:
        """users [B, DIM], top_scores [B, TOP_K], top_rows [B, TOP_K]; `table` and `bias` are read where they lie, never copied."""
        inputs = {
            "table": table,
            "bias": bias,
            "history": histories.rows,
            "actions": histories.actions,
            "values": histories.values,
            "gaps": histories.gaps,
            "scenarios": scenarios,
            "excluded": excluded,
        }
        users, scores, rows = _run(self._encode, inputs, ENCODE_OUTPUTS)
        return users, scores, rows

    def rank(self, features: F32, scenarios: I64) -> tuple[F32, F32]:
        """scores [B, C], predictions [B, C, len(ACTIONS)]."""
        scores, predictions = _run(self._rank, {"features": features, "scenarios": scenarios}, RANK_OUTPUTS)
        return scores, predictions


def _session(graph: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _check_names(session: Any, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    found = {entry.name for entry in session.get_inputs()}, {entry.name for entry in session.get_outputs()}
    if found != (set(inputs), set(outputs)):
        raise PoisonError("bad_release", f"the graph has {sorted(found[0])} -> {sorted(found[1])}")


def _run(session: Any, inputs: dict[str, Any], outputs: tuple[str, ...]) -> list[Any]:
    binding = session.io_binding()
    for name, array in inputs.items():
        # An OrtValue over numpy's memory: the table is not copied.
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for name in outputs:
        binding.bind_output(name)
    session.run_with_iobinding(binding)
    found: list[Any] = binding.copy_outputs_to_cpu()
    return found


def _warm(model: OnnxModel) -> None:
    """Run both graphs once on little input and check the shapes that come out."""
    empty = np.zeros((2, HISTORY), np.int64)
    rows = empty.copy()
    rows[1, -1] = 1
    none = np.zeros((2, HISTORY), np.float32)
    histories = Histories(rows, empty, none, empty, none, rows > 0, np.array([0, 1]))
    table, scenarios = np.zeros((_WARM_ROWS, DIM), np.float32), np.zeros(2, np.int64)
    table[1] = 1.0
    users, top_scores, top_rows = model.encode(
        table, table[:, 0].copy(), histories, scenarios, np.zeros((2, 1), np.int64)
    )
    scores, predictions = model.rank(np.zeros((2, 3, len(FEATURES)), np.float32), scenarios)
    shapes = [array.shape for array in (users, top_scores, top_rows, scores, predictions)]
    if shapes != [(2, DIM), (2, TOP_K), (2, TOP_K), (2, 3), (2, 3, len(ACTIONS))]:
        raise PoisonError("bad_release", f"shapes {shapes} are not the contract's")
    if not all(np.isfinite(array).all() for array in (users, scores, predictions)):
        raise PoisonError("bad_release", "the graphs do not give finite numbers")
