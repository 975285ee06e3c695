"""The encoder's run for a batch: users, and their best items."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from eddy.contract.model import DIM, HISTORY, PADDING_BIAS, PADDING_ROW, TOP_K
from eddy_scorer.core.model.model import ServingModel
from eddy_scorer.core.ranking.batch import EncoderOutput, RequestBatch
from eddy_scorer.core.state.arrays import FIRST_CAPACITY, I64
from eddy_scorer.core.state.nearest import used_rows
from eddy_scorer.core.state.scorer_state import ScorerState


def encode(model: ServingModel, state: ScorerState, batch: RequestBatch) -> EncoderOutput:
    """By the index of nearest items where there is one, else by the graph over the whole table."""
    return (_by_index if state.nearest.ready else _by_table)(model, state, batch)


def _by_table(model: ServingModel, state: ScorerState, batch: RequestBatch) -> EncoderOutput:
    size = len(state.catalogue)
    users, scores = np.empty((len(batch), DIM), np.float32), np.empty((len(batch), TOP_K), np.float32)
    rows = np.empty((len(batch), TOP_K), np.int64)
    for scenario, indices in _by_scenario(batch):
        table, bias = state.table.view(size, scenario)
        users[indices], scores[indices], rows[indices] = model.encode(
            table, bias, batch.histories.of(indices), batch.scenarios[indices], batch.excluded[indices]
        )
    # Rows beyond the catalogue are padding that the graph needs to have TOP_K of anything.
    real = (scores > PADDING_BIAS / 2) & (rows < size) & (rows != PADDING_ROW)
    return EncoderOutput(users, np.where(real, rows, PADDING_ROW), real)


def _by_index(model: ServingModel, state: ScorerState, batch: RequestBatch) -> EncoderOutput:
    """The graph reads the rows of the histories alone; the best of all rows come from the index, seen ones among them."""
    state.table.ensure(len(state.catalogue))
    table, history = used_rows(batch.histories.rows, state.table.vectors, FIRST_CAPACITY)
    histories = replace(batch.histories, rows=history)
    bias, none = np.zeros(len(table), np.float32), np.zeros((len(batch), 1), np.int64)
    users, _, _ = model.encode(table, bias, histories, batch.scenarios, none)
    rows = np.empty((len(batch), TOP_K + HISTORY), np.int64)
    scores = np.empty(rows.shape, np.float32)
    for scenario, indices in _by_scenario(batch):
        rows[indices], scores[indices] = state.nearest.search(users[indices], scenario, TOP_K + HISTORY, state.table)
    return EncoderOutput(users, rows, scores > PADDING_BIAS / 2)


def _by_scenario(batch: RequestBatch) -> Iterator[tuple[int, I64]]:
    """The scenarios of a batch, and the indices of the requests of each."""
    for scenario in np.unique(batch.scenarios).tolist():
        yield scenario, np.flatnonzero(batch.scenarios == scenario)
