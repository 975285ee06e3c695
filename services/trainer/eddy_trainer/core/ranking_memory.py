"""The last considered lists and shown items, kept to be learned from more than once: a ring for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddy_trainer.core.examples import NextItem, Shown
from eddy_trainer.core.models.ranker import Chosen

LISTS = 60 * 256
SHOWN = 4 * LISTS
LONGEST = 64


@dataclass(frozen=True, slots=True)
class Lists:
    """B considered lists, padded to the longest."""

    features: Tensor  # [B, C, FEATURES] f32
    chosen: Chosen
    scenarios: Tensor  # [B]

    def __len__(self) -> int:
        return len(self.scenarios)

    def first(self, count: int) -> "Lists":
        """At most so many of them."""
        chosen = Chosen(*(each[:count] for each in (self.chosen.counts, self.chosen.targets, self.chosen.values)))
        return Lists(self.features[:count], chosen, self.scenarios[:count])


@dataclass(frozen=True, slots=True)
class ShownItems:
    """n shown items; `actions` is -1 for a negative."""

    features: Tensor  # [n, FEATURES] f32
    positions: Tensor  # [n]
    actions: Tensor  # [n]
    scenarios: Tensor  # [n]

    def first(self, count: int) -> "ShownItems":
        """At most so many of them."""
        return ShownItems(self.features[:count], self.positions[:count], self.actions[:count], self.scenarios[:count])


class ListMemory:
    """Ring of considered lists of `features` columns. Longer ones than LONGEST keep their target and others spread over the list."""

    def __init__(self, features: int) -> None:
        self._features = np.zeros((LISTS, LONGEST, features), np.float16)
        self._meta = np.zeros((LISTS, 3), np.int64)
        self._values = np.zeros(LISTS, np.float32)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, LISTS)

    def add(self, examples: Sequence[NextItem]) -> Lists:
        """Keep lists whose target is among their candidates; returns them as a batch."""
        places = []
        for example in examples:
            features, target = _cut(example)
            place = self.added % LISTS
            self._features[place, : len(features)] = features
            self._meta[place] = (len(features), target, example.event.scenario)
            self._values[place] = example.event.value
            self.added += 1
            places.append(place)
        return self._batch(np.array(places[-LISTS:], np.int64))

    def draw(self, count: int, generator: np.random.Generator) -> Lists:
        return self._batch(generator.integers(0, len(self), min(count, len(self))))

    def latest(self, count: int) -> Lists:
        """The lists added last; one empty list where there is none."""
        return self._batch((self.added - 1 - np.arange(min(count, max(len(self), 1)))) % LISTS)

    def _batch(self, places: NDArray[np.int64]) -> Lists:
        meta = self._meta[places]
        longest = int(meta[:, 0].max(initial=1))
        counts, targets, scenarios = torch.from_numpy(meta.T.copy())
        features = torch.from_numpy(self._features[places, :longest].astype(np.float32))
        return Lists(features, Chosen(counts, targets, torch.from_numpy(self._values[places])), scenarios)


class ShownMemory:
    """Ring of shown items of `features` columns with their labels."""

    def __init__(self, features: int) -> None:
        self._features = np.zeros((SHOWN, features), np.float16)
        self._meta = np.zeros((SHOWN, 3), np.int64)
        self.added = 0

    def __len__(self) -> int:
        return min(self.added, SHOWN)

    def add(self, examples: Sequence[Shown]) -> ShownItems:
        """Keep the items of examples that have features; returns them as a batch."""
        known = [example for example in examples if len(example.features)]
        if not known:
            return self._batch(np.zeros(0, np.int64))
        features = np.concatenate([example.features for example in known])[-SHOWN:]
        meta = [row for example in known for row in _meta(example)][-SHOWN:]
        places = (self.added + np.arange(len(features))) % SHOWN
        self._features[places] = features
        self._meta[places] = meta
        self.added += len(features)
        return self._batch(places)

    def draw(self, count: int, generator: np.random.Generator) -> ShownItems:
        return self._batch(generator.integers(0, len(self), min(count, len(self))))

    def _batch(self, places: NDArray[np.int64]) -> ShownItems:
        positions, actions, scenarios = torch.from_numpy(self._meta[places].T.copy())
        features = torch.from_numpy(self._features[places].astype(np.float32))
        return ShownItems(features, positions, actions, scenarios)


def _cut(example: NextItem) -> tuple[NDArray[np.float16], int]:
    """At most LONGEST candidates, spread over the list: its first ones alone are the best of each source, and no measure for a target
    that comes behind them."""
    if len(example.features) <= LONGEST:
        return example.features, example.target
    others = np.delete(np.arange(len(example.features)), example.target)
    kept = others[np.linspace(0, len(others) - 1, LONGEST - 1).round().astype(np.int64)]
    place = int(np.searchsorted(kept, example.target))
    return example.features[np.insert(kept, place, example.target)], place


def _meta(example: Shown) -> list[tuple[int, int, int]]:
    return [
        (position, action, example.scenario)
        for position, action in zip(example.positions, example.actions, strict=True)
    ]
