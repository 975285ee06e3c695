"""How good the serving model is, scenario by scenario: of what was shown, and of what was chosen, before any of it was learned from.

Progressive validation (Blum, Kalai and Langford 1999) over the last JUDGED examples of each scenario.
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
    """Of one scenario; not a number where nothing says.

    `auc` and `calibration` (mean predicted chance over observed share) are of the main action: the one that most shown items were labelled
    with. `ndcg` and `hr` at 10 are of the place of what was chosen among what was considered.
    """

    auc: float
    calibration: float
    ndcg: float
    hr: float

    def by_name(self) -> dict[str, float]:
        """As a release says them."""
        return {"auc": self.auc, "calibration": self.calibration, "ndcg_at_10": self.ndcg, "hr_at_10": self.hr}


class Quality:
    """The last examples of every scenario, as the serving model, which has `actions` heads, saw them."""

    def __init__(self, scenarios: Scenarios, actions: int) -> None:
        self._actions = actions
        self._scenarios: dict[int, _ScenarioExamples] = {}
        scenarios.subscribe(self._add)

    def _add(self, name: str, scenario: Scenario) -> None:
        self._scenarios[scenario.id] = _ScenarioExamples(name, self._actions)

    def add_impressions(self, probabilities: F32, scenarios: I64, actions: I64) -> None:
        """Chances [n, ACTIONS] of shown items, and the action that each was labelled with [n], -1 for a negative."""
        for scenario, compared in self._present(scenarios):
            mine = scenarios == scenario
            compared.probabilities = _last(compared.probabilities, probabilities[mine])
            compared.actions = _last(compared.actions, actions[mine])

    def add_candidate_sets(self, scores: F32, scenarios: I64, chosen: ChosenItems) -> None:
        """Scores [B, C] of considered candidates and which of them was chosen; a tie, or what is no number, counts against the model."""
        targets, filled = chosen.targets.numpy(), chosen.filled(scores.shape[1]).numpy()
        wanted = scores[np.arange(len(scores)), targets][:, None]
        places = (~(scores < wanted) & filled).sum(axis=1) - 1
        for scenario, compared in self._present(scenarios):
            compared.places = _last(compared.places, places[scenarios == scenario])

    def figures(self) -> dict[str, QualityFigures]:
        """By the name of each scenario that anything is known of."""
        known = [
            compared for compared in list(self._scenarios.values()) if len(compared.actions) or len(compared.places)
        ]
        return {compared.name: compared.figures() for compared in known}

    def _present(self, scenarios: I64) -> "Iterator[tuple[int, _ScenarioExamples]]":
        for scenario in np.unique(scenarios).tolist():
            yield scenario, self._scenarios[scenario]


class _ScenarioExamples:
    """The last examples of one scenario."""

    def __init__(self, name: str, actions: int) -> None:
        self.name = name
        self.probabilities: F32 = np.zeros((0, actions), np.float32)
        self.actions: I64 = np.zeros(0, np.int64)
        self.places: I64 = np.zeros(0, np.int64)

    def figures(self) -> QualityFigures:
        counts = np.bincount(self.actions[self.actions >= 0], minlength=1)
        main = int(counts.argmax())
        asked = (self.actions == main) | (self.actions < 0)
        probabilities, labels = self.probabilities[asked, main], self.actions[asked] == main
        share = labels.mean() if len(labels) else 0.0
        gains = np.where(self.places < TOP_RANKS, 1 / np.log2(np.maximum(self.places, 0) + 2), 0.0)
        nothing = float("nan")
        return QualityFigures(
            auc=auc(probabilities, labels),
            calibration=float(probabilities.mean() / share) if share else nothing,
            ndcg=float(gains.mean()) if len(gains) else nothing,
            hr=float((self.places < TOP_RANKS).mean()) if len(gains) else nothing,
        )


def auc(scores: NDArray[np.floating[Any]], labels: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive has the higher score, ties half (Mann and Whitney 1947).

    Not a number where all labels are alike.
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
