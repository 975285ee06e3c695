"""The last considered lists and shown items, kept to be learned from more than once: a ring for each."""

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
    """B considered lists, padded to the longest."""

    features: Tensor  # [B, C, FEATURES] f32
    chosen: ChosenItems
    scenarios: Tensor  # [B]

    def __len__(self) -> int:
        return len(self.scenarios)

    def first(self, count: int) -> "CandidateSets":
        """At most so many of them."""
        chosen = ChosenItems(*(each[:count] for each in (self.chosen.counts, self.chosen.targets, self.chosen.values)))
        return CandidateSets(self.features[:count], chosen, self.scenarios[:count])


@dataclass(frozen=True, slots=True)
class Impressions:
    """n shown items; `actions` is -1 for a negative."""

    features: Tensor  # [n, FEATURES] f32
    positions: Tensor  # [n]
    actions: Tensor  # [n]
    scenarios: Tensor  # [n]

    def first(self, count: int) -> "Impressions":
        """At most so many of them."""
        return Impressions(self.features[:count], self.positions[:count], self.actions[:count], self.scenarios[:count])


class CandidateSetMemory:
    """Ring of considered lists of `features` columns. Longer ones than LONGEST keep their target and others spread over the list."""

    def __init__(self, features: int) -> None:
        self._features = np.zeros((MAX_CANDIDATE_SETS, MAX_CANDIDATES, features), np.float16)
        self._meta = np.zeros((MAX_CANDIDATE_SETS, 3), np.int64)
        self._values = np.zeros(MAX_CANDIDATE_SETS, np.float32)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, MAX_CANDIDATE_SETS)

    def add(self, examples: Sequence[NextItemExample]) -> CandidateSets:
        """Keep lists whose target is among their candidates; returns them as a batch."""
        places = []
        for example in examples:
            features, target = _cut(example)
            place = self.added % MAX_CANDIDATE_SETS
            self._features[place, : len(features)] = features
            self._meta[place] = (len(features), target, example.event.scenario)
            self._values[place] = example.event.value
            self.added += 1
            places.append(place)
        return self._batch(np.array(places[-MAX_CANDIDATE_SETS:], np.int64))

    def sample(self, count: int, generator: np.random.Generator) -> CandidateSets:
        return self._batch(generator.integers(0, len(self), min(count, len(self))))

    def latest(self, count: int) -> CandidateSets:
        """The lists added last; one empty list where there is none."""
        return self._batch((self.added - 1 - np.arange(min(count, max(len(self), 1)))) % MAX_CANDIDATE_SETS)

    def _batch(self, places: NDArray[np.int64]) -> CandidateSets:
        meta = self._meta[places]
        longest = int(meta[:, 0].max(initial=1))
        counts, targets, scenarios = torch.from_numpy(meta.T.copy())
        features = torch.from_numpy(self._features[places, :longest].astype(np.float32))
        return CandidateSets(features, ChosenItems(counts, targets, torch.from_numpy(self._values[places])), scenarios)


class ImpressionMemory:
    """Ring of shown items of `features` columns with their labels."""

    def __init__(self, features: int) -> None:
        self._features = np.zeros((MAX_IMPRESSIONS, features), np.float16)
        self._meta = np.zeros((MAX_IMPRESSIONS, 3), np.int64)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, MAX_IMPRESSIONS)

    def add(self, examples: Sequence[ImpressionExample]) -> Impressions:
        """Keep the items of examples that have features; returns them as a batch."""
        known = [example for example in examples if len(example.features)]
        if not known:
            return self._batch(np.zeros(0, np.int64))
        features = np.concatenate([example.features for example in known])[-MAX_IMPRESSIONS:]
        meta = [row for example in known for row in _meta(example)][-MAX_IMPRESSIONS:]
        places = (self.added + np.arange(len(features))) % MAX_IMPRESSIONS
        self._features[places] = features
        self._meta[places] = meta
        self.added += len(features)
        return self._batch(places)

    def sample(self, count: int, generator: np.random.Generator) -> Impressions:
        return self._batch(generator.integers(0, len(self), min(count, len(self))))

    def _batch(self, places: NDArray[np.int64]) -> Impressions:
        positions, actions, scenarios = torch.from_numpy(self._meta[places].T.copy())
        features = torch.from_numpy(self._features[places].astype(np.float32))
        return Impressions(features, positions, actions, scenarios)


def _cut(example: NextItemExample) -> tuple[NDArray[np.float16], int]:
    """At most LONGEST candidates, spread over the list: its first ones alone are the best of each source, and no measure for a target
    that comes behind them."""
    if len(example.features) <= MAX_CANDIDATES:
        return example.features, example.target
    others = np.delete(np.arange(len(example.features)), example.target)
    kept = others[np.linspace(0, len(others) - 1, MAX_CANDIDATES - 1).round().astype(np.int64)]
    place = int(np.searchsorted(kept, example.target))
    return example.features[np.insert(kept, place, example.target)], place


def _meta(example: ImpressionExample) -> list[tuple[int, int, int]]:
    return [
        (position, action, example.scenario)
        for position, action in zip(example.positions, example.actions, strict=True)
    ]
