"""Ring buffers of the last candidate sets and impressions, for repeated training."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddy_trainer.core.examples import ImpressionExample, NextItemExample
from eddy_trainer.core.models.ranker import ChosenItems

MAX_CANDIDATE_SETS = 60 * 256
MAX_IMPRESSIONS = 4 * MAX_CANDIDATE_SETS
MAX_CANDIDATES = 64


@dataclass(frozen=True, slots=True)
class CandidateSets:
    """B candidate sets, padded to the largest."""

    features: Tensor  # [B, C, FEATURES] f32
    chosen: ChosenItems
    scenarios: Tensor  # [B]

    def __len__(self) -> int:
        return len(self.scenarios)

    def filled_features(self) -> Tensor:
        """Return the features [n, FEATURES] of all candidates, without padding."""
        return self.features[self.chosen.is_filled(self.features.shape[1])]

    def first(self, count: int) -> "CandidateSets":
        """Return the first `count`."""
        chosen = ChosenItems(*(each[:count] for each in (self.chosen.counts, self.chosen.targets, self.chosen.values)))
        return CandidateSets(self.features[:count], chosen, self.scenarios[:count])


@dataclass(frozen=True, slots=True)
class Impressions:
    """n impressions; `actions` is -1 for a negative."""

    features: Tensor  # [n, FEATURES] f32
    positions: Tensor  # [n]
    actions: Tensor  # [n]
    scenarios: Tensor  # [n]

    def first(self, count: int) -> "Impressions":
        """Return the first `count`."""
        return Impressions(self.features[:count], self.positions[:count], self.actions[:count], self.scenarios[:count])


class CandidateSetMemory:
    """Ring buffer of candidate sets with `features` columns. Larger sets than MAX_CANDIDATES keep the target and an even selection."""

    def __init__(self, features: int) -> None:
        self._features = np.zeros((MAX_CANDIDATE_SETS, MAX_CANDIDATES, features), np.float16)
        self._meta = np.zeros((MAX_CANDIDATE_SETS, 3), np.int64)
        self._values = np.zeros(MAX_CANDIDATE_SETS, np.float32)
        self._users = np.zeros(MAX_CANDIDATE_SETS, np.int64)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, MAX_CANDIDATE_SETS)

    def add(self, examples: Sequence[NextItemExample]) -> CandidateSets:
        """Add examples whose target is among their candidates; returns them as a batch."""
        slots = []
        for example in examples:
            features, target = _truncate(example)
            slot = self.added % MAX_CANDIDATE_SETS
            self._features[slot, : len(features)] = features
            self._meta[slot] = (len(features), target, example.event.scenario)
            self._values[slot] = example.event.value
            self._users[slot] = hash(example.user_id)
            self.added += 1
            slots.append(slot)
        return self._batch(np.array(slots[-MAX_CANDIDATE_SETS:], np.int64))

    def clear(self) -> None:
        """Forget everything. Writes all of the memory, so that it is in use at once rather than as examples come."""
        for column in (self._features, self._meta, self._values, self._users):
            column.fill(0)
        self.added = 0

    def forget(self, user_id: str) -> None:
        """Replace the candidate sets of a user by those of others."""
        replaced, others = _slots_of(user_id, self._users[: len(self)])
        if len(others):
            for column in (self._features, self._meta, self._values, self._users):
                column[replaced] = column[others]
        elif len(replaced):
            self._features[replaced] = 0
            self.added = 0

    def sample(self, count: int, generator: np.random.Generator) -> CandidateSets:
        return self._batch(generator.integers(0, len(self), min(count, len(self))))

    def latest(self, count: int) -> CandidateSets:
        """Return the candidate sets that were added last, or one empty set."""
        return self._batch((self.added - 1 - np.arange(min(count, max(len(self), 1)))) % MAX_CANDIDATE_SETS)

    def _batch(self, slots: NDArray[np.int64]) -> CandidateSets:
        meta = self._meta[slots]
        longest = int(meta[:, 0].max(initial=1))
        counts, targets, scenarios = torch.from_numpy(meta.T.copy())
        features = torch.from_numpy(self._features[slots, :longest].astype(np.float32))
        return CandidateSets(features, ChosenItems(counts, targets, torch.from_numpy(self._values[slots])), scenarios)


class ImpressionMemory:
    """Ring buffer of impressions with `features` columns, and their labels."""

    def __init__(self, features: int) -> None:
        self._features = np.zeros((MAX_IMPRESSIONS, features), np.float16)
        self._meta = np.zeros((MAX_IMPRESSIONS, 3), np.int64)
        self._users = np.zeros(MAX_IMPRESSIONS, np.int64)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, MAX_IMPRESSIONS)

    def add(self, examples: Sequence[ImpressionExample]) -> Impressions:
        """Add the impressions of examples that have features; returns them as a batch."""
        usable = [example for example in examples if len(example.features)]
        if not usable:
            return self._batch(np.zeros(0, np.int64))
        features = np.concatenate([example.features for example in usable])[-MAX_IMPRESSIONS:]
        meta = [row for example in usable for row in _meta(example)][-MAX_IMPRESSIONS:]
        users = [hash(example.user_id) for example in usable for _ in example.positions][-MAX_IMPRESSIONS:]
        slots = (self.added + np.arange(len(features))) % MAX_IMPRESSIONS
        self._features[slots] = features
        self._meta[slots] = meta
        self._users[slots] = users
        self.added += len(features)
        return self._batch(slots)

    def clear(self) -> None:
        """Forget everything. Writes all of the memory, so that it is in use at once rather than as examples come."""
        for column in (self._features, self._meta, self._users):
            column.fill(0)
        self.added = 0

    def forget(self, user_id: str) -> None:
        """Replace the impressions of a user by those of others."""
        replaced, others = _slots_of(user_id, self._users[: len(self)])
        if len(others):
            for column in (self._features, self._meta, self._users):
                column[replaced] = column[others]
        elif len(replaced):
            self._features[replaced] = 0
            self.added = 0

    def sample(self, count: int, generator: np.random.Generator) -> Impressions:
        return self._batch(generator.integers(0, len(self), min(count, len(self))))

    def _batch(self, slots: NDArray[np.int64]) -> Impressions:
        positions, actions, scenarios = torch.from_numpy(self._meta[slots].T.copy())
        features = torch.from_numpy(self._features[slots].astype(np.float32))
        return Impressions(features, positions, actions, scenarios)


def _slots_of(user_id: str, users: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the slots of a user, and as many slots of other users; none if there are no others."""
    mine = users == hash(user_id)
    replaced, others = np.flatnonzero(mine), np.flatnonzero(~mine)
    return replaced, np.resize(others, len(replaced)) if len(others) else others


def _truncate(example: NextItemExample) -> tuple[NDArray[np.float16], int]:
    """Return at most MAX_CANDIDATES candidates, evenly selected, and the index of the target. The first ones alone are the best of each
    source, and not representative for a target further down."""
    if len(example.features) <= MAX_CANDIDATES:
        return example.features, example.target
    others = np.delete(np.arange(len(example.features)), example.target)
    kept = others[np.linspace(0, len(others) - 1, MAX_CANDIDATES - 1).round().astype(np.int64)]
    target = int(np.searchsorted(kept, example.target))
    return example.features[np.insert(kept, target, example.target)], target


def _meta(example: ImpressionExample) -> list[tuple[int, int, int]]:
    return [
        (position, action, example.scenario)
        for position, action in zip(example.positions, example.actions, strict=True)
    ]
