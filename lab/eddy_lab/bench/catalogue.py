"""Benchmark of the approximate index in large catalogues: time and recall, compared with an exact search.

Embeddings are clustered around centres, as those of similar items are, or random, which is the worst case for an index. Times are processor
time, in one thread.
"""

import time

import numpy as np
import torch

from eddy.contract.model import DIM, MAX_SCENARIOS
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.embedding_table import EmbeddingTable
from eddy_scorer.core.state.nearest import NearestItems

ROWS = 50_000
ROWS_PER_CENTRE = 20
DEVIATION = 0.6  # of an embedding from its centre, relative to the length of the centre
USERS = 256
BATCH = 64
SEARCHED = 150
BEST = 40


def run() -> dict[str, float]:
    """Microseconds per row to build, milliseconds per user to search, and recall of the exact best rows."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    centres = random.normal(size=(ROWS // ROWS_PER_CENTRE, DIM))
    around = np.repeat(centres, ROWS_PER_CENTRE, axis=0) + DEVIATION * random.normal(size=(ROWS, DIM))
    figures: dict[str, float] = {}
    for name, rows in (("around centres", around), ("at random", random.normal(size=(ROWS, DIM)))):
        figures |= {f"{figure}, {ROWS:,} rows {name}": value for figure, value in _measure(_unit(rows), random).items()}
    return figures


def _measure(vectors: F32, random: np.random.Generator) -> dict[str, float]:
    table, size = EmbeddingTable(), len(vectors) + 1
    eligible = np.zeros((MAX_SCENARIOS, len(vectors)), bool)
    eligible[0] = True
    table.assign(np.arange(1, size), vectors, np.zeros(len(vectors), np.float32), eligible)
    index = NearestItems()
    started = time.process_time()
    index.update(table, size)
    build_sec = time.process_time() - started
    # Users are close to items that they liked.
    users = _unit(vectors[random.integers(0, len(vectors), USERS)] + 0.1 * random.normal(size=(USERS, DIM)))
    index_sec = exact_sec = 0.0
    hits = 0
    for start in range(0, USERS, BATCH):
        batch = users[start : start + BATCH]
        started = time.process_time()
        approximate, _ = index.search(batch, 0, SEARCHED, table)
        index_sec += time.process_time() - started
        started = time.process_time()
        exact = _exact(batch, table, size)
        exact_sec += time.process_time() - started
        hits += sum(len(np.intersect1d(*pair)) for pair in zip(approximate, exact, strict=True))
    return {
        "insert, us/row": 1e6 * build_sec / len(vectors),
        f"best {SEARCHED} with the index, ms/user": 1000 * index_sec / USERS,
        f"best {SEARCHED} with an exact search, ms/user": 1000 * exact_sec / USERS,
        f"recall of the best {BEST}": hits / USERS / BEST,
    }


def _exact(users: F32, table: EmbeddingTable, size: int) -> I64:
    """The exact best rows [B, BEST]. As many rows are ordered as the index returns, for comparable times."""
    scores = torch.from_numpy(users @ table.vectors[:size].T + table.scenario_bias[0, :size])
    return torch.topk(scores, SEARCHED).indices[:, :BEST].numpy()


def _unit(rows: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> F32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
