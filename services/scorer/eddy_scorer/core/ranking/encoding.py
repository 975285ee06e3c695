"""Runs the encoder for a batch: user vectors, and the best items of each user."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from eddy.contract.model import DIM, HISTORY, PADDING_BIAS, PADDING_ROW, TOP_K
from eddy_scorer.core.model.model import ServingModel
from eddy_scorer.core.ranking.batch import EncoderOutput, RequestBatch
from eddy_scorer.core.state.arrays import FIRST_CAPACITY, I64
from eddy_scorer.core.state.nearest import compact_rows
from eddy_scorer.core.state.scorer_state import ScorerState


def encode(model: ServingModel, state: ScorerState, batch: RequestBatch) -> EncoderOutput:
    """Encode the batch; the best items come from the approximate index if it is ready, else from the graph over all embeddings."""
    return (_encode_with_index if state.nearest.ready else _encode_all)(model, state, batch)


def _encode_all(model: ServingModel, state: ScorerState, batch: RequestBatch) -> EncoderOutput:
    size = len(state.catalogue)
    users, scores = np.empty((len(batch), DIM), np.float32), np.empty((len(batch), TOP_K), np.float32)
    rows = np.empty((len(batch), TOP_K), np.int64)
    for scenario, indices in _by_scenario(batch):
        table, bias = state.table.view(size, scenario)
        users[indices], scores[indices], rows[indices] = model.encode(
            table, bias, batch.histories.select(indices), batch.scenarios[indices], batch.excluded[indices]
        )
    # Rows beyond the catalogue are padding, because the graph needs at least TOP_K rows.
    valid = (scores > PADDING_BIAS / 2) & (rows < size) & (rows != PADDING_ROW)
    return EncoderOutput(users, np.where(valid, rows, PADDING_ROW), valid)


def _encode_with_index(model: ServingModel, state: ScorerState, batch: RequestBatch) -> EncoderOutput:
    """Run the graph over the embeddings of the histories only; the best rows come from the index, seen items included."""
    state.table.ensure(len(state.catalogue))
    table, history = compact_rows(batch.histories.rows, state.table.vectors, FIRST_CAPACITY)
    histories = replace(batch.histories, rows=history)
    bias, excluded = np.zeros(len(table), np.float32), np.zeros((len(batch), 1), np.int64)
    users, _, _ = model.encode(table, bias, histories, batch.scenarios, excluded)
    rows = np.empty((len(batch), TOP_K + HISTORY), np.int64)
    scores = np.empty(rows.shape, np.float32)
    for scenario, indices in _by_scenario(batch):
        rows[indices], scores[indices] = state.nearest.search(users[indices], scenario, TOP_K + HISTORY, state.table)
    return EncoderOutput(users, rows, scores > PADDING_BIAS / 2)


def _by_scenario(batch: RequestBatch) -> Iterator[tuple[int, I64]]:
    """Each scenario of a batch with the indices of its requests."""
    for scenario in np.unique(batch.scenarios).tolist():
        yield scenario, np.flatnonzero(batch.scenarios == scenario)
