"""Figures of rankings with one relevant item."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

CUT = 10
TENTHS = 10


def ranking_figures(ranks: NDArray[np.int64], scored: NDArray[np.bool_]) -> dict[str, Any]:
    """HR, NDCG and MRR at 10 over the `scored` [events], and by tenth of the whole stream.

    `ranks` [events] of the relevant item are from 0, and below 0 if it was not ranked.
    """
    hits = _hits(ranks)
    measures = {
        "ndcg_at_10": gains_at_10(ranks),
        "hr_at_10": hits.astype(np.float64),
        "mrr_at_10": np.where(hits, 1 / (np.maximum(ranks, 0) + 1), 0.0),
    }
    tenth = np.arange(len(ranks)) * TENTHS // max(len(ranks), 1)
    sizes = np.bincount(tenth, scored, TENTHS)
    figures: dict[str, Any] = {name: float(values[scored].mean()) for name, values in measures.items()}
    for name, values in measures.items():
        sums = np.bincount(tenth, values * scored, TENTHS)
        figures[f"{name}_by_tenth"] = (sums / np.maximum(sizes, 1)).tolist()
    return figures


def gains_at_10(ranks: NDArray[np.int64]) -> NDArray[np.float64]:
    """NDCG@10 of each ranking, by the rank of its relevant item."""
    return np.where(_hits(ranks), 1 / np.log2(np.maximum(ranks, 0) + 2), 0.0)


def _hits(ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
    return (ranks >= 0) & (ranks < CUT)


def ratio_interval(
    model: NDArray[np.float64], other: NDArray[np.float64], blocks: int = 200, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """95 % interval of mean(model) / mean(other), by a bootstrap over blocks of the stream, because nearby events are not independent."""
    sums = np.array([[block.sum() for block in np.array_split(gains, blocks)] for gains in (model, other)]).T
    samples = sums[np.random.default_rng(seed).integers(0, blocks, (resamples, blocks))].sum(axis=1)
    low, high = np.percentile(samples[:, 0] / np.maximum(samples[:, 1], 1e-12), [2.5, 97.5])
    return float(low), float(high)
