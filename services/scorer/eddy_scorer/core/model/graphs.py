"""Both graphs of a release as a ServingModel. The only file that uses onnxruntime directly, which has no type stubs."""

from typing import Any

import numpy as np
import onnxruntime

from eddy.contract.actions import ACTION_ALIASES
from eddy.contract.columns import column_map, take_columns
from eddy.contract.features import FEATURE_ALIASES
from eddy.contract.legacy import LEGACY_CONTRACT
from eddy.contract.model import (
    CURRENT_COLUMNS,
    DIM,
    ENCODE_INPUTS,
    ENCODE_OUTPUTS,
    HISTORY,
    RANK_INPUTS,
    RANK_OUTPUTS,
    TOP_K,
    Columns,
)
from eddy.contract.records import ModelRelease
from eddy.errors import PoisonError
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.users import UserHistories

_WARM_ROWS = 256


class OnnxModel:
    """A release on onnxruntime, in one thread. `load` raises PoisonError when the graphs do not keep the model contract.

    `columns` are the features and actions of the release, `scorer_columns` those of the scorer: they are matched by name. `missing` is the
    value of a feature that the scorer does not have.
    """

    def __init__(
        self,
        version: int,
        encode: bytes,
        rank: bytes,
        columns: Columns = CURRENT_COLUMNS,
        scorer_columns: Columns = CURRENT_COLUMNS,
        missing: float = float("nan"),
    ) -> None:
        self.version = version
        self.columns = columns
        self._missing = missing
        self._features = column_map(columns.features, scorer_columns.features, FEATURE_ALIASES)
        heads = column_map(scorer_columns.actions, columns.actions, ACTION_ALIASES)
        self._actions = np.array([0, *(1 + head for head in heads)], np.int64)
        self._encode = _session(encode)
        self._rank = _session(rank)
        _check_names(self._encode, ENCODE_INPUTS, ENCODE_OUTPUTS)
        _check_names(self._rank, RANK_INPUTS, RANK_OUTPUTS)

    @staticmethod
    def load(release: ModelRelease, scorer_columns: Columns = CURRENT_COLUMNS) -> "OnnxModel":
        """Build and warm up the model of a `model_release` record. May run in another thread while a model serves."""
        columns = Columns.of(release["features"], release["actions"])
        # Graphs of the contract without names do not know NaN.
        missing = 0.0 if release["contract"] == LEGACY_CONTRACT else float("nan")
        try:
            model = OnnxModel(release["version"], release["encode"], release["rank"], columns, scorer_columns, missing)
            _warm(model, scorer_columns)
        except PoisonError:
            raise
        except Exception as error:  # onnxruntime raises many types for invalid bytes
            raise PoisonError("bad_release", f"{type(error).__name__}: {error}") from error
        return model

    def release_actions(self, actions: I64) -> I64:
        """Translate 1 + indices of the scorer's actions to those of the release; 0 stands for no action."""
        heads: I64 = self._actions[actions]
        return heads

    def encode(
        self, table: F32, bias: F32, histories: UserHistories, scenarios: I64, excluded: I64
    ) -> tuple[F32, F32, I64]:
        """Return users [B, DIM], top_scores [B, TOP_K] and top_rows [B, TOP_K]. `table` and `bias` are read in place, without a copy."""
        inputs = {
            "table": table,
            "bias": bias,
            "history": histories.rows,
            "actions": self.release_actions(histories.actions),
            "values": histories.values,
            "gaps": histories.gaps,
            "scenarios": scenarios,
            "excluded": excluded,
        }
        users, scores, rows = _run(self._encode, inputs, ENCODE_OUTPUTS)
        return users, scores, rows

    def rank(self, features: F32, scenarios: I64) -> tuple[F32, F32]:
        """Return scores [B, C] and predictions [B, C, actions of the release] for `features` [B, C, features of the scorer]."""
        inputs = {"features": take_columns(features, self._features, self._missing), "scenarios": scenarios}
        scores, predictions = _run(self._rank, inputs, RANK_OUTPUTS)
        return scores, predictions


def _session(graph: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _check_names(session: Any, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
    names = {entry.name for entry in session.get_inputs()}, {entry.name for entry in session.get_outputs()}
    if names != (set(inputs), set(outputs)):
        raise PoisonError(
            "bad_release",
            f"a graph has inputs {sorted(names[0])} and outputs {sorted(names[1])}; "
            f"the model contract says {sorted(inputs)} and {sorted(outputs)}",
        )


def _run(session: Any, inputs: dict[str, Any], outputs: tuple[str, ...]) -> list[Any]:
    binding = session.io_binding()
    for name, array in inputs.items():
        # An OrtValue over numpy's memory, so that the table is not copied.
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for name in outputs:
        binding.bind_output(name)
    session.run_with_iobinding(binding)
    results: list[Any] = binding.copy_outputs_to_cpu()
    return results


def _warm(model: OnnxModel, scorer_columns: Columns) -> None:
    """Run both graphs once on a small input and check the shapes and values of their outputs."""
    empty = np.zeros((2, HISTORY), np.int64)
    rows = empty.copy()
    rows[1, -1] = 1
    none = np.zeros((2, HISTORY), np.float32)
    histories = UserHistories(rows, empty, none, empty, none, rows > 0, np.array([0, 1]))
    table, scenarios = np.zeros((_WARM_ROWS, DIM), np.float32), np.zeros(2, np.int64)
    table[1] = 1.0
    users, top_scores, top_rows = model.encode(
        table, table[:, 0].copy(), histories, scenarios, np.zeros((2, 1), np.int64)
    )
    scores, predictions = model.rank(np.zeros((2, 3, len(scorer_columns.features)), np.float32), scenarios)
    shapes = [array.shape for array in (users, top_scores, top_rows, scores, predictions)]
    if shapes != [(2, DIM), (2, TOP_K), (2, TOP_K), (2, 3), (2, 3, len(model.columns.actions))]:
        raise PoisonError("bad_release", f"the graphs return shapes {shapes}, which differ from the model contract")
    if not all(np.isfinite(array).all() for array in (users, scores, predictions)):
        raise PoisonError("bad_release", "the graphs return values that are not finite")
