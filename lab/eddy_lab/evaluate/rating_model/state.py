"""What is known before each event: the user's last ratings, and counters of the item. Nothing of an event is in its own features."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eddy_cli.datasets import Dataset

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
Bool = NDArray[np.bool_]

LAST = 100
LIKED = 4.0
BEST = 5.0
DISLIKED = 2.0

# Where counters start: as if each of the five ratings were as likely as any other.
USUAL = 3.0
USUAL_WEIGHT = 5.0
USUAL_LIKED, USUAL_BEST, USUAL_DISLIKED = 0.4, 0.2, 0.4
ITEM_PRIOR = 5.0
RECENT_PRIOR = 4.0
RECENT_DECAY = 0.98


@dataclass(frozen=True, slots=True)
class Lookback:
    """For every event the events of its user before it: they lie in `order` [M] before `end` [N], `count` [N] of them."""

    order: I64
    end: I64
    count: I64

    def of(self, events: I64) -> tuple[I64, Bool]:
        """The last LAST events [E, LAST] before each of `events`, newest first, and which of them exist."""
        back = np.arange(1, LAST + 1)
        return self.order[np.maximum(self.end[events][:, None] - back, 0)], self.count[events][:, None] >= back


def lookback(users: NDArray[np.int32], known: Bool) -> Lookback:
    """`known` [N] says which events leave a trace; the others see, and are not seen."""
    grouped = np.argsort(users, kind="stable")
    traces = known[grouped]
    end = np.empty(len(users), np.int64)
    end[grouped] = np.cumsum(traces) - traces
    first = np.searchsorted(users[grouped], np.arange(users.max(initial=-1) + 1))
    before = end[grouped[np.minimum(first, len(grouped) - 1)]]
    return Lookback(grouped[traces], end, end - before[users])


@dataclass(frozen=True, slots=True)
class ItemStatistics:
    """Counters of each event's item before it, each [N]: means and shares drawn towards what is usual."""

    mean: F32
    liked: F32  # share of ratings of at least LIKED
    recent: F32  # mean with a decay per rating, drawn towards the item's mean
    spread: F32  # standard deviation of the ratings
    count: F32
    overall: F32  # mean of all ratings


def item_state(data: Dataset, known: Bool) -> ItemStatistics:
    """One pass over the events, in order."""
    items = len(data.item_ids)
    count, total, liked, square, decayed, decayed_total = (np.zeros(items) for _ in range(6))
    all_count, all_total = USUAL_WEIGHT, USUAL_WEIGHT * USUAL
    found: Any = np.empty((len(data), 6), np.float32)
    for event, (item, value, trace) in enumerate(
        zip(data.items.tolist(), data.values.tolist(), known.tolist(), strict=True)
    ):
        overall = all_total / all_count
        seen = count[item] + ITEM_PRIOR
        mean = (total[item] + ITEM_PRIOR * overall) / seen
        found[event] = (
            mean,
            (liked[item] + ITEM_PRIOR * USUAL_LIKED) / seen,
            (decayed_total[item] + RECENT_PRIOR * mean) / (decayed[item] + RECENT_PRIOR),
            np.sqrt((square[item] + ITEM_PRIOR) / seen),
            count[item],
            overall,
        )
        if trace:
            count[item] += 1
            total[item] += value
            liked[item] += value >= LIKED
            square[item] += (value - mean) ** 2
            decayed[item] = decayed[item] * RECENT_DECAY + 1
            decayed_total[item] = decayed_total[item] * RECENT_DECAY + value
            all_count += 1
            all_total += value
    return ItemStatistics(*found.T.copy())
