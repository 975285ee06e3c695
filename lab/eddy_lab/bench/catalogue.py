"""Large catalogues: the encoder's best items from the approximate index, beside looking at every row, and how many of the best it finds.

Rows around centres, as items of a kind lie, and rows at random, which is the worst case for an index. One thread, processor time.
"""

import time

import numpy as np
import torch

from eddy.contract.model import DIM, MAX_SCENARIOS
from eddy_scorer.core.state.arrays import F32, I64
from eddy_scorer.core.state.embedding_table import EmbeddingTable
from eddy_scorer.core.state.nearest import NearestItems

ROWS = 50_000
A_CENTRE = 20
SPREAD = 0.6  # of a row around its centre, in the length of the centre
USERS = 256
BATCH = 64
LOOKED_FOR = 150
BEST = 40


def run() -> dict[str, float]:
    """Microseconds a row to build, milliseconds a user to search, and the share of the exact best that is found."""
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    centres = random.normal(size=(ROWS // A_CENTRE, DIM))
    around = np.repeat(centres, A_CENTRE, axis=0) + SPREAD * random.normal(size=(ROWS, DIM))
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
    # Users near to what they liked.
    users = _unit(vectors[random.integers(0, len(vectors), USERS)] + 0.1 * random.normal(size=(USERS, DIM)))
    found_sec = exact_sec = 0.0
    hits = 0
    for start in range(0, USERS, BATCH):
        batch = users[start : start + BATCH]
        started = time.process_time()
        found, _ = index.search(batch, 0, LOOKED_FOR, table)
        found_sec += time.process_time() - started
        started = time.process_time()
        exact = _exact(batch, table, size)
        exact_sec += time.process_time() - started
        hits += sum(len(np.intersect1d(*pair)) for pair in zip(found, exact, strict=True))
    return {
        "put in, us/row": 1e6 * build_sec / len(vectors),
        f"best {LOOKED_FOR} by the index, ms/user": 1000 * found_sec / USERS,
        f"best {LOOKED_FOR} of every row, ms/user": 1000 * exact_sec / USERS,
        f"of the best {BEST}, found": hits / USERS / BEST,
    }


def _exact(users: F32, table: EmbeddingTable, size: int) -> I64:
    """Rows [B, BEST], after the scores of every row were ordered as far as they are looked for."""
    scores = torch.from_numpy(users @ table.vectors[:size].T + table.scenario_bias[0, :size])
    return torch.topk(scores, LOOKED_FOR).indices[:, :BEST].numpy()


def _unit(rows: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> F32:
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)
