"""Moves what a model has learned to other columns: features and actions keep their weights by name.

A feature that is new has weight zero, so that the model answers what it answered before; an action that is new starts as it does in a fresh
model; what is gone is dropped. Which tensors that concerns the modules say themselves (eddy_trainer.core.models.axes).
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eddy.contract.actions import ACTION_ALIASES
from eddy.contract.columns import ABSENT, column_map
from eddy.contract.features import FEATURE_ALIASES
from eddy.contract.model import Columns
from eddy_trainer.core.models.axes import ACTION, FEATURE, HEAD, Axis
from eddy_trainer.core.models.encoder import Encoder
from eddy_trainer.core.models.ranker import Ranker


class Moves:
    """From the columns that a state was saved with to those of the model that takes it over."""

    def __init__(self, former: Columns, now: Columns) -> None:
        features = column_map(now.features, former.features, FEATURE_ALIASES)
        actions = column_map(now.actions, former.actions, ACTION_ALIASES)
        self._former = former
        self._sources: dict[Axis, Tensor] = {
            FEATURE: torch.tensor(features, dtype=torch.int64),
            HEAD: torch.tensor(actions, dtype=torch.int64),
            ACTION: torch.tensor([0, *(each if each == ABSENT else 1 + each for each in actions)]),
        }

    def weights(self, saved: dict[str, Tensor], module: Encoder | Ranker) -> dict[str, Tensor]:
        """A saved state_dict as one of `module`, which is fresh: it says how new actions start."""
        inputs = {name for name, _ in module.named_parameters()}
        moved = {}
        for name, fresh in module.state_dict().items():
            axes = module.axes.get(name, ())
            start = self._without_new_features(fresh, axes) if name in inputs else fresh
            moved[name] = self._moved(self._for_each_feature(name, saved[name]), start, axes)
        return moved

    def moments(
        self, saved: dict[str, Any], optimiser: torch.optim.Optimizer, module: Encoder | Ranker
    ) -> dict[str, Any]:
        """The saved state of an optimiser of the module's parameters, and of others that have no columns, in the order of `optimiser`."""
        names = {parameter: name for name, parameter in module.named_parameters()}
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        moved = {}
        for number, entry in saved["state"].items():
            axes = module.axes.get(names.get(parameters[number], ""), ())
            none = torch.zeros_like(parameters[number])
            moved[number] = {
                key: self._moved(value, none, axes) if key.startswith("exp_avg") else value
                for key, value in entry.items()
            }
        return saved | {"state": moved}

    def actions(self, saved: Tensor | NDArray[np.int8]) -> NDArray[np.int8]:
        """Saved `actions` of interactions: 0 for one whose action has no head any more."""
        former = np.zeros(1 + len(self._former.actions), np.int8)
        for now, source in enumerate(self._sources[ACTION].tolist()):
            if source > 0:
                former[source] = now
        moved: NDArray[np.int8] = former[np.asarray(saved)]
        return moved

    def _moved(self, saved: Tensor, start: Tensor, axes: tuple[Axis | None, ...]) -> Tensor:
        """`start` with what was saved where both have the same feature and action."""
        if not any(axes):
            return saved
        sources = [self._source(axis, size) for axis, size in zip(axes, start.shape, strict=True)]
        kept = [source >= 0 for source in sources]
        moved = start.clone()
        moved[_grid([each.nonzero()[:, 0] for each in kept])] = saved[
            _grid([source[each] for source, each in zip(sources, kept, strict=True)])
        ]
        return moved

    def _without_new_features(self, fresh: Tensor, axes: tuple[Axis | None, ...]) -> Tensor:
        start = fresh.clone()
        for dimension, axis in enumerate(axes):
            if axis == FEATURE:
                start.index_fill_(dimension, (self._sources[FEATURE] == ABSENT).nonzero()[:, 0], 0.0)
        return start

    def _source(self, axis: Axis | None, size: int) -> Tensor:
        return torch.arange(size) if axis is None else self._sources[axis]

    def _for_each_feature(self, name: str, saved: Tensor) -> Tensor:
        """Checkpoints of the last contract without names count batches once for all features."""
        return saved.expand(len(self._former.features)) if name == "batches" else saved


def _grid(indices: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.meshgrid(*indices, indexing="ij")
