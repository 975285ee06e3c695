"""Quality of the serving model by scenario, on impressions and on next items.

Progressive validation (Blum, Kalai and Langford 1999) over the last QUALITY_WINDOW examples of each scenario.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from eddy.contract.scenarios import Scenario, Scenarios
from eddy_trainer.core.models.ranker import ChosenItems

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Row = TypeVar("Row", F32, I64)

QUALITY_WINDOW = 5000
TOP_RANKS = 10


@dataclass(frozen=True, slots=True)
class QualityFigures:
    """Quality in one scenario; NaN without data.

    `auc` and `calibration` (mean predicted probability over observed rate) are of the main action, which labels the most impressions.
    `ndcg` and `hr` at 10 are of the rank of the chosen item among the candidates.
    """

    auc: float
    calibration: float
    ndcg: float
    hr: float

    def by_name(self) -> dict[str, float]:
        """Return the figures by their names in `metrics` of a release."""
        return {"auc": self.auc, "calibration": self.calibration, "ndcg_at_10": self.ndcg, "hr_at_10": self.hr}


class Quality:
    """Predictions of the serving model, which has `actions` heads, on the last examples of every scenario."""

    def __init__(self, scenarios: Scenarios, actions: int) -> None:
        self._actions = actions
        self._scenarios: dict[int, _ScenarioExamples] = {}
        scenarios.subscribe(self._add)

    def _add(self, name: str, scenario: Scenario) -> None:
        self._scenarios[scenario.id] = _ScenarioExamples(name, self._actions)

    def add_impressions(self, probabilities: F32, scenarios: I64, actions: I64) -> None:
        """Add probabilities [n, ACTIONS] of impressions and the action that labels each [n], -1 for a negative."""
        for scenario, examples in self._by_scenario(scenarios):
            mask = scenarios == scenario
            examples.probabilities = _last(examples.probabilities, probabilities[mask])
            examples.actions = _last(examples.actions, actions[mask])

    def add_candidate_sets(self, scores: F32, scenarios: I64, chosen: ChosenItems) -> None:
        """Add scores [B, C] of candidates and the chosen ones. A tie or NaN counts against the model."""
        targets, present = chosen.targets.numpy(), chosen.is_filled(scores.shape[1]).numpy()
        target_scores = scores[np.arange(len(scores)), targets][:, None]
        ranks = (~(scores < target_scores) & present).sum(axis=1) - 1
        for scenario, examples in self._by_scenario(scenarios):
            examples.ranks = _last(examples.ranks, ranks[scenarios == scenario])

    def figures(self) -> dict[str, QualityFigures]:
        """Return the figures of each scenario that has examples, by name."""
        with_examples = [
            examples for examples in list(self._scenarios.values()) if len(examples.actions) or len(examples.ranks)
        ]
        return {examples.name: examples.figures() for examples in with_examples}

    def _by_scenario(self, scenarios: I64) -> "Iterator[tuple[int, _ScenarioExamples]]":
        for scenario in np.unique(scenarios).tolist():
            yield scenario, self._scenarios[scenario]


class _ScenarioExamples:
    """Predictions on the last examples of one scenario."""

    def __init__(self, name: str, actions: int) -> None:
        self.name = name
        self.probabilities: F32 = np.zeros((0, actions), np.float32)
        self.actions: I64 = np.zeros(0, np.int64)
        self.ranks: I64 = np.zeros(0, np.int64)

    def figures(self) -> QualityFigures:
        counts = np.bincount(self.actions[self.actions >= 0], minlength=1)
        main = int(counts.argmax())
        mask = (self.actions == main) | (self.actions < 0)
        probabilities, labels = self.probabilities[mask, main], self.actions[mask] == main
        share = labels.mean() if len(labels) else 0.0
        gains = gains_at(self.ranks)
        nan = float("nan")
        return QualityFigures(
            auc=auc(probabilities, labels),
            calibration=float(probabilities.mean() / share) if share else nan,
            ndcg=float(gains.mean()) if len(gains) else nan,
            hr=float((self.ranks < TOP_RANKS).mean()) if len(gains) else nan,
        )


def gains_at(ranks: I64) -> NDArray[np.float64]:
    """NDCG@10 of each ranking, by the rank of its relevant item, from 0."""
    return np.where(ranks < TOP_RANKS, 1 / np.log2(np.maximum(ranks, 0) + 2), 0.0)


def auc(scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the probability that a positive has the higher score, ties counted half (Mann and Whitney 1947).

    NaN if all labels are equal.
    """
    positives = int(labels.sum())
    negatives = len(labels) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    return float((ranks[inverse][labels].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def _last(former: Row, new: Row) -> Row:
    return np.concatenate([former, new])[-QUALITY_WINDOW:]
