"""How well places in rankings answer for what came next."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CUT = 10
TENTHS = 10


def ranking_figures(places: NDArray[np.int64], counted: NDArray[np.bool_]) -> dict[str, Any]:
    """HR, NDCG and MRR at 10 of `places` (of the one relevant item, from 0; below 0 where it was not ranked), over the events that are
    `counted` and by tenth of the whole stream."""
    found = _found(places)
    measures = {
        "ndcg_at_10": gains_at_10(places),
        "hr_at_10": found.astype(np.float64),
        "mrr_at_10": np.where(found, 1 / (np.maximum(places, 0) + 1), 0.0),
    }
    tenth = np.arange(len(places)) * TENTHS // max(len(places), 1)
    sizes = np.bincount(tenth, counted, TENTHS)
    figures: dict[str, Any] = {name: float(values[counted].mean()) for name, values in measures.items()}
    for name, values in measures.items():
        sums = np.bincount(tenth, values * counted, TENTHS)
        figures[f"{name}_by_tenth"] = [float(one) for one in sums / np.maximum(sizes, 1)]
    return figures


def gains_at_10(places: NDArray[np.int64]) -> NDArray[np.float64]:
    """NDCG@10 of each ranking with one relevant item at `places`."""
    return np.where(_found(places), 1 / np.log2(np.maximum(places, 0) + 2), 0.0)


def _found(places: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (places >= 0) & (places < CUT)


def ratio_interval(
    model: NDArray[np.float64], other: NDArray[np.float64], blocks: int = 200, draws: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of mean(model) / mean(other), by a bootstrap over stretches of the stream: events nearby are not independent."""
    pairs = [
        (one.sum(), two.sum()) for one, two in zip(*(np.array_split(x, blocks) for x in (model, other)), strict=True)
    ]
    sums = np.array(pairs)
    drawn = sums[np.random.default_rng(seed).integers(0, blocks, (draws, blocks))].sum(axis=1)
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-12), [2.5, 97.5])
    return float(low), float(high)
