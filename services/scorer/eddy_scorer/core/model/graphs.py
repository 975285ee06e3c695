"""Both graphs of a release as a ServingModel. The only file that uses onnxruntime directly, which has no type stubs."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

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
    RANK_INPUTS,
    RANK_OUTPUTS,
    TOP_K,
    Columns,
)
from eddy.contract.records import ModelRelease
from eddy.errors import PoisonError
from eddy_scorer.core.model.graph_checks import check_graph
from eddy_scorer.core.model.probe import Probe
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.users import UserHistories

# Seconds in which a release loads and answers the probe; it takes .1.
LOAD_LIMIT_SEC = 20.0
# A score beyond it is no score. Logits and sums of counts are far below.
MAX_SCORE = 1e9
_WARM_ROWS = 256
_STOP_SEC = 1.0  # for an operator to end after its run was terminated
# Threads of releases that neither load nor end. Each keeps a processor busy, and nothing can end it but the end of the process.
MAX_STUCK_LOADS = 2
_stuck: list[threading.Thread] = []

T = TypeVar("T")


class StuckLoadError(PoisonError):
    """A release whose graphs neither loaded nor stopped within the time limit."""


def stuck_loads() -> int:
    """Number of releases that still load, long after their time limit."""
    _stuck[:] = [thread for thread in _stuck if thread.is_alive()]
    return len(_stuck)


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
        self._options = onnxruntime.RunOptions()
        self.probe: Probe | None = None
        self._features = column_map(columns.features, scorer_columns.features, FEATURE_ALIASES)
        heads = column_map(scorer_columns.actions, columns.actions, ACTION_ALIASES)
        self._actions = np.array([0, *(1 + head for head in heads)], np.int64)
        self._encode = _session(encode)
        self._rank = _session(rank)
        _check_names(self._encode, ENCODE_INPUTS, ENCODE_OUTPUTS)
        _check_names(self._rank, RANK_INPUTS, RANK_OUTPUTS)

    @staticmethod
    def load(
        release: ModelRelease,
        scorer_columns: Columns = CURRENT_COLUMNS,
        probe: Probe | None = None,
        limit_sec: float = LOAD_LIMIT_SEC,
    ) -> "OnnxModel":
        """Check, build and warm up the model of a `model_release` record. May run in another thread while a model serves.

        The model must have valid answers to the inputs of `probe`, and remembers there those of its requests.
        """
        check_graph("encode", release["encode"])
        check_graph("rank", release["rank"])
        probe = probe or Probe(len(scorer_columns.features))
        loading = _Loading()
        return within(limit_sec, lambda: loading.load(release, scorer_columns, probe), loading.stop)

    def release_actions(self, actions: I64) -> I64:
        """Translate 1 + indices of the scorer's actions to those of the release; 0 stands for no action."""
        heads: I64 = self._actions[actions]
        return heads

    def encode(
        self, table: F32, bias: F32, histories: UserHistories, scenarios: I64, excluded: I64
    ) -> tuple[F32, F32, I64]:
        """Return users [B, DIM], top_scores [B, TOP_K] and top_rows [B, TOP_K]. `table` and `bias` are read in place, without a copy."""
        if self.probe is not None:
            self.probe.note_users(histories, scenarios)
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
        users, scores, rows = _run(self._encode, inputs, ENCODE_OUTPUTS, self._options)
        return users, scores, rows

    def rank(self, features: F32, scenarios: I64) -> tuple[F32, F32]:
        """Return scores [B, C] and predictions [B, C, actions of the release] for `features` [B, C, features of the scorer]."""
        if self.probe is not None:
            self.probe.note_candidates(features, scenarios)
        inputs = {"features": take_columns(features, self._features, self._missing), "scenarios": scenarios}
        scores, predictions = _run(self._rank, inputs, RANK_OUTPUTS, self._options)
        return scores, predictions

    def stop(self) -> None:
        """End running calls and all later ones with an error; a call ends after its present operator."""
        self._options.terminate = True


class _Loading:
    """Builds and warms up one model; another thread may stop it."""

    def __init__(self) -> None:
        self._model: OnnxModel | None = None

    def stop(self) -> None:
        if self._model is not None:
            self._model.stop()

    def load(self, release: ModelRelease, scorer_columns: Columns, probe: Probe) -> OnnxModel:
        columns = Columns.of(release["features"], release["actions"])
        # Graphs of the contract without names do not know NaN.
        missing = 0.0 if release["contract"] == LEGACY_CONTRACT else float("nan")
        try:
            model = OnnxModel(release["version"], release["encode"], release["rank"], columns, scorer_columns, missing)
            self._model = model
            _warm(model, probe)
        except PoisonError:
            raise
        except Exception as error:  # onnxruntime raises many types for invalid bytes
            raise PoisonError("bad_release", f"{type(error).__name__}: {error}"[:500]) from error
        model.probe = probe
        return model


def within(limit_sec: float, work: Callable[[], T], stop: Callable[[], None]) -> T:
    """The result of `work`, in another thread. Raises PoisonError after `limit_sec`, having called `stop`.

    A thread inside of a single operator ends with that; until then it is left behind, and the caller goes on. Raises StuckLoadError for a
    thread that is left behind. While there are MAX_STUCK_LOADS of them, no work is begun.
    """
    if stuck_loads() >= MAX_STUCK_LOADS:
        raise PoisonError("bad_release", f"{MAX_STUCK_LOADS} former releases still load. Restart the scorer.")
    results: list[T] = []
    errors: list[Exception] = []

    def run() -> None:
        try:
            results.append(work())
        except Exception as error:  # noqa: BLE001  # raised again in the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="load-release", daemon=True)
    thread.start()
    thread.join(limit_sec)
    if thread.is_alive():
        stop()
        thread.join(_STOP_SEC)
        message = f"the graphs did not load and answer within {limit_sec:g} s"
        if thread.is_alive():
            _stuck.append(thread)
            raise StuckLoadError("bad_release", f"{message}, and do not stop")
        raise PoisonError("bad_release", message)
    if errors:
        raise errors[0]
    return results[0]


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


def _run(session: Any, inputs: dict[str, Any], outputs: tuple[str, ...], options: Any) -> list[Any]:
    binding = session.io_binding()
    for name, array in inputs.items():
        # An OrtValue over numpy's memory, so that the table is not copied.
        binding.bind_ortvalue_input(name, onnxruntime.OrtValue.ortvalue_from_numpy(array))
    for name in outputs:
        binding.bind_output(name)
    session.run_with_iobinding(binding, options)
    results: list[Any] = binding.copy_outputs_to_cpu()
    return results


def _warm(model: OnnxModel, probe: Probe) -> None:
    """Run both graphs on the probe and check the shapes and values of their outputs."""
    histories, scenarios = probe.users(_WARM_ROWS)
    table = np.random.default_rng(0).standard_normal((_WARM_ROWS, DIM)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    table[0] = 0.0
    users, top_scores, top_rows = model.encode(
        table, np.zeros(_WARM_ROWS, np.float32), histories, scenarios, np.zeros((len(scenarios), 1), np.int64)
    )
    features, scenarios_of_candidates = probe.candidates()
    scores, predictions = model.rank(features, scenarios_of_candidates)
    batch, candidates = len(scenarios), len(features)
    shapes = [array.shape for array in (users, top_scores, top_rows, scores, predictions)]
    expected = [
        (batch, DIM),
        (batch, TOP_K),
        (batch, TOP_K),
        (candidates, 1),
        (candidates, 1, len(model.columns.actions)),
    ]
    if shapes != expected:
        raise PoisonError("bad_release", f"the graphs return shapes {shapes}; the model contract says {expected}")
    _check_range("users", users, MAX_SCORE)
    _check_range("scores", scores, MAX_SCORE)
    _check_range("top_scores", top_scores, 2 * MAX_SCORE)  # excluded items have -1e9
    if top_rows.dtype != np.int64 or not ((top_rows >= 0) & (top_rows < _WARM_ROWS)).all():
        raise PoisonError("bad_release", "the graph encode returns rows outside of its table")
    if not ((predictions >= 0) & (predictions <= 1)).all():
        raise PoisonError("bad_release", "the graph rank predicts values that are no probabilities, on real features")


def _check_range(name: str, values: F32, maximum: float) -> None:
    if not (np.abs(values) <= maximum).all():
        raise PoisonError(
            "bad_release", f"the graphs return {name} that are not finite, or beyond {maximum:g}, on real inputs"
        )
