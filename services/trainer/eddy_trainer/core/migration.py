"""Migrates a trained state to other columns: features and actions keep their weights by name.

A new feature gets weight zero, so that predictions do not change; a new action is initialised as in a fresh model;
removed ones are dropped.
Each module declares the tensors that depend on columns (eddy_trainer.core.models.axes).
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


class ColumnMigration:
    """Maps the columns of a saved state to the columns `now` of the model that restores it."""

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
        """Return a saved state_dict with the columns of `module`, whose fresh weights initialise new actions."""
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
        """Return the saved state of an optimiser with the columns of `module`; parameters of other modules are left as they are."""
        names = {parameter: name for name, parameter in module.named_parameters()}
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        moved = {}
        for number, entry in saved["state"].items():
            axes = module.axes.get(names.get(parameters[number], ""), ())
            zeros = torch.zeros_like(parameters[number])
            moved[number] = {
                key: self._moved(value, zeros, axes) if key.startswith("exp_avg") else value
                for key, value in entry.items()
            }
        return saved | {"state": moved}

    def actions(self, saved: Tensor | NDArray[np.int8]) -> NDArray[np.int8]:
        """Return saved `actions` of interactions with the present indices, 0 for actions without a head."""
        present_of = np.zeros(1 + len(self._former.actions), np.int8)
        for index, source in enumerate(self._sources[ACTION].tolist()):
            if source > 0:
                present_of[source] = index
        moved: NDArray[np.int8] = present_of[np.asarray(saved)]
        return moved

    def _moved(self, saved: Tensor, start: Tensor, axes: tuple[Axis | None, ...]) -> Tensor:
        """Return `start` with the saved values where both have the same feature and action."""
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
        """Checkpoints of the last contract without feature names count batches for all features together."""
        return saved.expand(len(self._former.features)) if name == "batches" else saved


def _grid(indices: list[Tensor]) -> tuple[Tensor, ...]:
    return torch.meshgrid(*indices, indexing="ij")
