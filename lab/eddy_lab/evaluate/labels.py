"""How well scores tell liked from not liked, and within which bounds that is known."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from eddy.errors import ConfigError
from eddy_cli.datasets import Dataset
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.rating_model.state import LIKED
from eddy_trainer.core.quality import auc

Scores = NDArray[np.float32] | NDArray[np.float64]
Labels = NDArray[np.bool_]

DRAWS = 200

__all__ = ["LIKED", "auc", "intervals", "liked", "log_losses", "rated", "separable_labels"]


def liked(stream: Stream) -> Labels:
    """Which events say a value of at least LIKED. Raises ConfigError where all do or none does: there is nothing to tell apart."""
    found = stream.at_least(LIKED)
    if found.all() or not found.any():
        raise ConfigError(f"{stream.dataset} needs values below {LIKED:g} and from {LIKED:g} on, as ratings have")
    return found


def rated(data: Dataset) -> Dataset:
    """The same data. Raises ConfigError where an event says no rating."""
    if data.has_value is not None and not data.has_value.all():
        raise ConfigError(
            f"{data.name} says no rating of {np.count_nonzero(~data.has_value):,} events: each needs one here"
        )
    return data


def separable_labels(data: Dataset, parts: Iterable[NDArray[np.int64]], name: str = "") -> Labels:
    """Which events are rated LIKED or better. Raises ConfigError where in one of `parts` all are or none is."""
    labels = np.asarray(rated(data).values >= LIKED)
    for part, use in zip(parts, ("learn", "choose", "judge"), strict=True):
        if labels[part].all() or not labels[part].any():
            raise ConfigError(
                f"{name or data.name} needs ratings below {LIKED:g} and from {LIKED:g} on among those to {use} by: "
                f"play more of it"
            )
    return labels


def log_losses(logits: Scores, labels: Labels) -> NDArray[np.float64]:
    """Of each event, in nats."""
    return np.asarray(np.logaddexp(0.0, logits) - logits * labels, np.float64)


def intervals(logits: Scores, labels: Labels, users: NDArray[np.int32], seed: int) -> dict[str, list[float]]:
    """95 % intervals of AUC and log-loss by a bootstrap over users: a user's events are not independent."""
    _, user = np.unique(users, return_inverse=True)
    order = np.argsort(user, kind="stable")
    starts = np.searchsorted(user[order], np.arange(user.max() + 2))
    losses, random = log_losses(logits, labels), np.random.default_rng(seed)
    areas, means = [], []
    for _ in range(DRAWS):
        drawn = random.integers(0, len(starts) - 1, len(starts) - 1)
        events = np.concatenate([order[starts[one] : starts[one + 1]] for one in drawn.tolist()])
        areas.append(auc(logits[events], labels[events]))
        means.append(float(losses[events].mean()))
    return {
        name: [round(float(bound), 4) for bound in np.percentile(found, [2.5, 97.5])]
        for name, found in (("auc", areas), ("log_loss", means))
    }
