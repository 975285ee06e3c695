"""Progressive validation of the encoder: the serving one and the one in training rank each next item before it is taught.

Only interactions that the budgets admit are judged: otherwise an attacker who teaches the encoder would also be its judge. Users without a
history are judged apart, since a single item can be everything that they are shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddy.contract.scenarios import Scenario, Scenarios
from eddy_trainer.core.embedding_table import EmbeddingTable, TableWeights
from eddy_trainer.core.last_known_good import ENCODER_RULE, LastKnownGood
from eddy_trainer.core.models.encoder import Encoder
from eddy_trainer.core.next_item import Predictions, SampledCandidates, encoder_inputs, predictions_of
from eddy_trainer.core.progressive import LossComparison, Losses, ScenarioLossWindows
from eddy_trainer.core.quality import TOP_RANKS, gains_at
from eddy_trainer.core.release_gate import GatePolicy
from eddy_trainer.core.sequences import Sequences, SequenceStore

LOSS_WINDOW = 2000
MEMORY = 10_000  # predictions of all scenarios
# Bounds of the work per `observe`: users, and items that a next item is ranked among.
JUDGED_USERS = 48
JUDGED_ITEMS = 1000
KNOWN_USERS, NEW_USERS = "known", "new_users"


@dataclass(frozen=True, slots=True)
class ReleasedEncoder:
    """An encoder with the vectors [rows, DIM] of its release, and what to restore on a rollback: `table`, and the `appended` interactions
    that it was trained on."""

    encoder: Encoder
    vectors: Tensor
    item_ids: Sequence[str]
    table: TableWeights
    appended: int


@dataclass(frozen=True, slots=True)
class Group:
    """Users with or without a history in one scenario."""

    scenario: str
    new_users: bool

    @property
    def users(self) -> str:
        return NEW_USERS if self.new_users else KNOWN_USERS

    @property
    def name(self) -> str:
        """The prefix of its figures in `metrics` of a release."""
        return f"{self.scenario}/{NEW_USERS}" if self.new_users else self.scenario


@dataclass(frozen=True, slots=True)
class EncoderFigures:
    """Quality of the serving encoder in a group: NDCG and hit rate at 10 among JUDGED_ITEMS random items of the scenario."""

    ndcg: float
    hr: float

    def by_name(self) -> dict[str, float]:
        """Return the figures by their names in `metrics` of a release."""
        return {"encoder_ndcg_at_10": self.ndcg, "encoder_hr_at_10": self.hr}


class EncoderJudge:
    """The encoder in training compared with the serving one, by group, and with the last known good one."""

    def __init__(self, scenarios: Scenarios, encoder: Encoder, table: EmbeddingTable, seed: int) -> None:
        self._encoder = encoder
        self._table = table
        self._unseen_only: set[int] = set()
        self._random = np.random.default_rng(seed)
        self.serving: ReleasedEncoder | None = None
        self.windows = ScenarioLossWindows(LOSS_WINDOW, MEMORY)
        self.last_good: LastKnownGood[ReleasedEncoder] = LastKnownGood(ENCODER_RULE)
        self._groups: dict[int, Group] = {}
        self._ranks: dict[int, NDArray[np.int64]] = {}
        scenarios.subscribe(self._add)

    def _add(self, name: str, scenario: Scenario) -> None:
        if "seen" in scenario.filters:
            self._unseen_only.add(scenario.id)
        for new_users in (False, True):
            group = Group(name, new_users)
            self._groups[2 * scenario.id + new_users] = group
            self.windows.add_scenario(group.name, 2 * scenario.id + new_users)

    def set_serving(self, released: ReleasedEncoder, version: int, policy: GatePolicy) -> None:
        """Set the released encoder that serves from now on."""
        self.serving = released
        self.last_good.note_release(lambda: released, version, policy)

    def judge(self, sequences: SequenceStore, slots: Sequence[int], since: int) -> None:
        """Judge the interactions with numbers from `since` on of up to JUDGED_USERS of the users in `slots`, the last ones."""
        if not slots:
            return
        windows = sequences.windows(np.array(slots[-JUDGED_USERS:], np.int64))
        targets = windows.targets * (windows.numbers >= since)
        models = [self.serving, *self.last_good.models]
        limit = min([len(self._table), *(len(each.vectors) for each in models if each is not None)])
        windows = replace(windows, targets=targets * (targets < limit))
        for scenario in np.unique(windows.scenarios[windows.targets > 0]).tolist():
            self._judge(windows, scenario, limit)

    def _judge(self, windows: Sequences, scenario: int, limit: int) -> None:
        candidates = self._candidates(windows, scenario, limit)
        predictions = predictions_of(len(self._table), windows, scenario, candidates, scenario in self._unseen_only)
        if not len(predictions.target):
            return
        judged = _Judged(windows, candidates.rows, predictions)
        training = _rank(self._encoder, *self._vectors(judged), judged)
        releases = [each for each in (self.serving, *self.last_good.models) if each is not None]
        ranked = {id(each): _rank(each.encoder, *_released_vectors(each, judged), judged) for each in releases}
        serving = training if self.serving is None else ranked[id(self.serving)]
        new_users = windows.rows.ravel()[predictions.position.numpy()] == 0
        groups = 2 * scenario + new_users
        self.windows.add(groups, serving.losses, training.losses)
        for group in np.unique(groups).tolist():
            former = self._ranks.get(group, np.zeros(0, np.int64))
            self._ranks[group] = np.concatenate([former, serving.ranks[groups == group]])[-LOSS_WINDOW:]
        if self.last_good.models:
            compared = [*(ranked[id(each)] for each in self.last_good.models), training]
            self.last_good.add([[each.losses[~new_users], each.losses[new_users]] for each in compared])

    def _vectors(self, judged: "_Judged") -> tuple[Tensor, Tensor]:
        """Return the vectors in training of the histories [U, L, DIM] and of the candidates [M, DIM]."""
        rows = torch.from_numpy(np.union1d(judged.windows.rows, judged.candidates.numpy()))
        vectors = self._table.vectors(rows, self._table.embedding(rows))
        inputs = torch.searchsorted(rows, torch.from_numpy(np.ascontiguousarray(judged.windows.rows)))
        return vectors[inputs], vectors[torch.searchsorted(rows, judged.candidates)]

    def _candidates(self, windows: Sequences, scenario: int, limit: int) -> SampledCandidates:
        pool = self._table.rows_of_scenario(scenario)
        pool = pool[pool < limit]
        if len(pool) > JUDGED_ITEMS:
            pool = self._random.choice(pool, JUDGED_ITEMS, replace=False)
        rows = np.union1d(pool, windows.targets[(windows.targets > 0) & (windows.scenarios == scenario)])
        return SampledCandidates(torch.from_numpy(rows), torch.zeros(len(rows)))

    def compare(self) -> dict[str, LossComparison]:
        """Return the comparison of the encoder in training with the serving one, by the name of the group."""
        return self.windows.compare()

    def compare_groups(self) -> dict[Group, LossComparison]:
        """Return the comparison by group."""
        groups = {group.name: group for group in list(self._groups.values())}
        return {groups[name]: comparison for name, comparison in self.compare().items()}

    def figures(self) -> dict[Group, EncoderFigures]:
        """Return the quality of the serving encoder by group."""
        return {
            self._groups[group]: EncoderFigures(float(gains_at(ranks).mean()), float((ranks < TOP_RANKS).mean()))
            for group, ranks in list(self._ranks.items())
            if len(ranks)
        }

    def reset(self) -> None:
        """Forget all comparisons, after a rollback."""
        self.windows.clear()
        self.last_good.reset()


@dataclass(frozen=True, slots=True)
class _Judged:
    """The histories of users, the candidates [M] that their next items are ranked among, and the next items."""

    windows: Sequences
    candidates: Tensor
    predictions: Predictions


@dataclass(frozen=True, slots=True)
class _Ranking:
    """Of each prediction: the loss, and the rank of the item."""

    losses: Losses
    ranks: NDArray[np.int64]


def _released_vectors(released: ReleasedEncoder, judged: _Judged) -> tuple[Tensor, Tensor]:
    rows = judged.windows.rows
    known = torch.from_numpy(np.where(rows < len(released.vectors), rows, 0))
    return released.vectors[known], released.vectors[judged.candidates]


def _rank(encoder: Encoder, inputs: Tensor, items: Tensor, judged: _Judged) -> _Ranking:
    predictions = judged.predictions
    users = encoder(encoder_inputs(judged.windows, inputs), torch.from_numpy(judged.windows.scenarios)).flatten(0, 1)
    logits = users.index_select(0, predictions.position) @ items.T
    if predictions.excluded is not None:
        predictions.excluded.mask(logits, slice(None))
    target = logits.gather(1, predictions.target[:, None])
    losses = (logits.logsumexp(1) - target[:, 0]).numpy()
    ranks = (~(logits < target)).sum(dim=1).numpy() - 1  # a tie or NaN counts against the encoder
    return _Ranking(losses, ranks)
