"""State before each event: the user's last ratings and statistics of the item. An event is never part of its own features."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddy_cli.datasets import Dataset

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

HISTORY = 100
LIKED = 4.0
BEST = 5.0
DISLIKED = 2.0

# Priors: before any rating, each of the five is equally likely.
PRIOR_MEAN = 3.0
PRIOR_COUNT = 5.0
PRIOR_LIKED, PRIOR_BEST, PRIOR_DISLIKED = 0.4, 0.2, 0.4
ITEM_PRIOR_COUNT = 5.0
RECENT_PRIOR_COUNT = 4.0
RECENT_DECAY = 0.98


@dataclass(frozen=True, slots=True)
class EarlierEvents:
    """The earlier events of each event's user: the `count` [N] entries of `order` [M] before index `end` [N]."""

    order: I64
    end: I64
    count: I64

    def last(self, events: I64) -> tuple[I64, Bool]:
        """The last HISTORY events [E, HISTORY] before each of `events`, newest first, and a mask of those that exist."""
        back = np.arange(1, HISTORY + 1)
        return self.order[np.maximum(self.end[events][:, None] - back, 0)], self.count[events][:, None] >= back


def earlier_events(users: NDArray[np.int32], recorded: Bool) -> EarlierEvents:
    """`recorded` [N] marks the events that later events may see."""
    grouped = np.argsort(users, kind="stable")
    recorded_grouped = recorded[grouped]
    end = np.empty(len(users), np.int64)
    end[grouped] = np.cumsum(recorded_grouped) - recorded_grouped
    first = np.searchsorted(users[grouped], np.arange(users.max(initial=-1) + 1))
    start = end[grouped[np.minimum(first, len(grouped) - 1)]]
    return EarlierEvents(grouped[recorded_grouped], end, end - start[users])


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """Statistics of each event's item before the event, each [N]; means and shares are shrunk towards the priors."""

    mean: F32
    liked: F32  # share of ratings of at least LIKED
    recent: F32  # mean with a decay per rating, shrunk towards the item's mean
    deviation: F32  # standard deviation of the ratings
    count: F32
    overall: F32  # mean of all ratings


def item_statistics(data: Dataset, recorded: Bool) -> ItemStatistics:
    """One pass over the events in order; only `recorded` [N] events are counted."""
    items = len(data.item_ids)
    count, total, liked, square, decayed, decayed_total = (np.zeros(items) for _ in range(6))
    all_count, all_total = PRIOR_COUNT, PRIOR_COUNT * PRIOR_MEAN
    columns: Any = np.empty((len(data), 6), np.float32)
    for event, (item, value, record) in enumerate(
        zip(data.items.tolist(), data.values.tolist(), recorded.tolist(), strict=True)
    ):
        overall = all_total / all_count
        smoothed_count = count[item] + ITEM_PRIOR_COUNT
        mean = (total[item] + ITEM_PRIOR_COUNT * overall) / smoothed_count
        columns[event] = (
            mean,
            (liked[item] + ITEM_PRIOR_COUNT * PRIOR_LIKED) / smoothed_count,
            (decayed_total[item] + RECENT_PRIOR_COUNT * mean) / (decayed[item] + RECENT_PRIOR_COUNT),
            np.sqrt((square[item] + ITEM_PRIOR_COUNT) / smoothed_count),
            count[item],
            overall,
        )
        if record:
            count[item] += 1
            total[item] += value
            liked[item] += value >= LIKED
            square[item] += (value - mean) ** 2
            decayed[item] = decayed[item] * RECENT_DECAY + 1
            decayed_total[item] = decayed_total[item] * RECENT_DECAY + value
            all_count += 1
            all_total += value
    return ItemStatistics(*columns.T.copy())
