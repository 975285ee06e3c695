"""Binary labels of ratings, and the figures of a model that predicts them."""

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

RESAMPLES = 200

__all__ = [
    "LIKED",
    "auc",
    "binary_figures",
    "intervals",
    "liked_events",
    "log_losses",
    "rated_data",
    "separable_labels",
]


def liked_events(stream: Stream) -> Labels:
    """Mask of the events whose value is at least LIKED. Raises ConfigError unless there are both values below and from LIKED on."""
    labels = stream.at_least(LIKED)
    if labels.all() or not labels.any():
        raise ConfigError(
            f"{stream.dataset} needs values both below {LIKED:g} and from {LIKED:g} on, as ratings have. "
            f"Choose a data set with ratings"
        )
    return labels


def rated_data(data: Dataset) -> Dataset:
    """The same data. Raises ConfigError if an event has no rating."""
    if data.has_value is not None and not data.has_value.all():
        missing = np.count_nonzero(~data.has_value)
        raise ConfigError(
            f"{data.name} has {missing:,} events without a rating. This benchmark needs one for each event"
        )
    return data


def separable_labels(data: Dataset, parts: Iterable[NDArray[np.int64]], name: str = "") -> Labels:
    """Mask of the events rated LIKED or better. Raises ConfigError if one of `parts` (train, valid, test) has only one class."""
    labels = np.asarray(rated_data(data).values >= LIKED)
    for part, purpose in zip(parts, ("training", "validation", "test"), strict=True):
        if labels[part].all() or not labels[part].any():
            raise ConfigError(
                f"{name or data.name} needs ratings both below {LIKED:g} and from {LIKED:g} on in its {purpose} part. "
                f"Use more events"
            )
    return labels


def log_losses(logits: Scores, labels: Labels) -> NDArray[np.float64]:
    """Log-loss of each event, in nats."""
    return np.asarray(np.logaddexp(0.0, logits) - logits * labels, np.float64)


def binary_figures(logits: Scores, labels: Labels) -> dict[str, float]:
    """AUC and mean log-loss."""
    return {"auc": auc(logits, labels), "log_loss": float(log_losses(logits, labels).mean())}


def intervals(logits: Scores, labels: Labels, users: NDArray[np.int32], seed: int) -> dict[str, list[float]]:
    """95 % intervals of AUC and log-loss by a bootstrap over users, because the events of a user are not independent."""
    _, user = np.unique(users, return_inverse=True)
    order = np.argsort(user, kind="stable")
    starts = np.searchsorted(user[order], np.arange(user.max() + 2))
    losses, random = log_losses(logits, labels), np.random.default_rng(seed)
    areas, means = [], []
    for _ in range(RESAMPLES):
        sample = random.integers(0, len(starts) - 1, len(starts) - 1)
        events = np.concatenate([order[starts[index] : starts[index + 1]] for index in sample.tolist()])
        areas.append(auc(logits[events], labels[events]))
        means.append(float(losses[events].mean()))
    return {
        name: [round(float(bound), 4) for bound in np.percentile(values, [2.5, 97.5])]
        for name, values in (("auc", areas), ("log_loss", means))
    }
