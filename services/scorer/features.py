"""Ranking features of considered candidates: shared.model_contract.FEATURES, over whole batches."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from services.scorer.arrays import F32, I32, I64, Bool, grown
from services.scorer.batch import Batch, Candidates, Encoded
from services.scorer.catalogue import Catalogue
from services.scorer.counts import CandidateCounts, ItemCounts
from services.scorer.covisits import Csr, Matrices
from services.scorer.item_table import ItemTable
from services.scorer.sources.covisited import lines_of
from shared.model_contract import FEATURES

LAST_MOVES = 5
MOVE_DECAY = 0.6
MOVE_WEIGHTS: F32 = np.float32(MOVE_DECAY) ** np.arange(LAST_MOVES - 1, -1, -1, dtype=np.float32)
MOVE_WEIGHTS /= MOVE_WEIGHTS.sum()

# Pseudo-counts: an item without counts gets what is usual, one with few is drawn towards it.
PRIOR_MOVES = 5.0
PRIOR_SHOWN = 20.0
PRIOR_SHARE = 0.05
PRIOR_COUNT = 0.1

# Largest magnitude: float16 ends at 65504.
_LIMIT = 60000.0

_COLUMN = {name: number for number, name in enumerate(FEATURES)}


@dataclass(frozen=True, slots=True)
class Relations:
    """How candidates relate to what is known of everybody: matrices, the batch's neighbours, `acted_sums` [B] of slow counts."""

    matrices: Matrices
    neighbours: Csr
    acted_sums: F32


class Scratch:
    """A dense row of float32, zero between uses: looks the values of a sparse line up at candidates without sorting."""

    def __init__(self) -> None:
        self._values: F32 = np.zeros(256, np.float32)

    def lookup(self, lines: Iterable[tuple[I32, F32]], wanted: I64, size: int) -> F32:
        """For each line (columns below `size`, values) the values at `wanted` [B, C], 0 where there is none."""
        if size > len(self._values):
            self._values = grown(self._values, size)
        scratch = self._values
        found = np.empty(wanted.shape, np.float32)
        for line, (columns, values) in enumerate(lines):
            scratch[columns] = values
            scratch.take(wanted[line], out=found[line], mode="clip")
            scratch[columns] = 0.0
        return found


class Features:
    """Computes the feature matrix of a batch; holds scratch memory alone."""

    def __init__(self, catalogue: Catalogue, counts: ItemCounts, table: ItemTable) -> None:
        self._catalogue = catalogue
        self._counts = counts
        self._table = table
        self._scratch = Scratch()

    def compute(
        self, batch: Batch, candidates: Candidates, relations: Relations, encoded: Encoded | None
    ) -> np.ndarray[tuple[int, int, int], np.dtype[np.float16]]:
        """[B, C, len(FEATURES)] rounded to float16, as it is logged and ranked."""
        rows, valid = candidates.rows, candidates.valid
        out = np.zeros((*rows.shape, len(FEATURES)), np.float32)
        self._counts.ensure(len(self._catalogue))
        self._table.ensure(len(self._catalogue))
        counts = self._counts.gather(rows, batch.scenarios, batch.at, self._catalogue.published_at[rows])
        self._encoder(out, batch, candidates, encoded)
        self._covisits(out, batch, candidates, relations)
        self._transitions(out, batch, candidates, relations, counts)
        _popularity(out, counts, valid)
        self._content(out, batch, rows)
        _history(out, batch)
        for source in ("encoder", "covisited", "trending"):
            out[..., _COLUMN[f"from_{source}"]] = candidates.brought_by[source]
        out[..., _COLUMN["has_model"]] = encoded is not None
        return np.clip(out, -_LIMIT, _LIMIT).astype(np.float16)

    def _encoder(self, out: F32, batch: Batch, candidates: Candidates, encoded: Encoded | None) -> None:
        rows = candidates.rows
        known = self._table.has_vector[rows] & candidates.valid
        scores = np.zeros(rows.shape, np.float32)
        if encoded is not None:
            dots = (self._table.vectors[rows] @ encoded.users[:, :, None])[..., 0]
            scores = np.where(known, dots + self._table.bias[rows], np.float32(0))
        out[..., _COLUMN["encoder_score"]] = scores
        out[..., _COLUMN["encoder_rank"]] = ranks(np.where(known, scores, -np.inf))

    def _covisits(self, out: F32, batch: Batch, candidates: Candidates, relations: Relations) -> None:
        score = self._scratch.lookup(lines_of(relations.neighbours), candidates.rows, len(self._catalogue))
        # The matrices are stated at their own time; all entries fade alike.
        fade = np.exp2(-np.maximum(batch.at - relations.matrices.at, 0) / relations.matrices.half_life_ms)
        score *= fade[:, None].astype(np.float32)
        out[..., _COLUMN["covisit_score"]] = np.log1p(score)
        out[..., _COLUMN["covisit_rank"]] = ranks(np.where(candidates.valid, score, -np.inf))

    def _transitions(
        self, out: F32, batch: Batch, candidates: Candidates, relations: Relations, counts: CandidateCounts
    ) -> None:
        total = relations.acted_sums[:, None] + PRIOR_COUNT * len(self._catalogue)
        usual = (counts.acted + PRIOR_COUNT) / np.maximum(total, counts.acted + PRIOR_COUNT)
        last = self._moves(batch.histories.rows[:, -1:], np.ones(1, np.float32), candidates.rows, relations, usual)
        five = self._moves(batch.histories.rows[:, -LAST_MOVES:], MOVE_WEIGHTS, candidates.rows, relations, usual)
        out[..., _COLUMN["transition_last_1"]] = _log_odds(last)
        out[..., _COLUMN["transition_last_5"]] = _log_odds(five)
        out[..., _COLUMN["transition_rank"]] = ranks(np.where(candidates.valid, five, -np.inf))

    def _moves(self, last: I64, weights: F32, rows: I64, relations: Relations, usual: F32) -> F32:
        """Weighted mean over the `last` items [B, L] of the smoothed probability that each of `rows` [B, C] follows."""
        matrices = relations.matrices
        known = (last > 0) & (last < matrices.size)
        left = np.where(known, matrices.moves_from[np.where(known, last, 0)], 0.0)
        # p(b | a) = (moves(a, b) + PRIOR usual(b)) / (moves(a) + PRIOR): the first part by sparse product, the second by sums.
        shares = (weights / (left + PRIOR_MOVES)).astype(np.float32)
        found = matrices.from_history(matrices.moves, last, shares)
        seen = self._scratch.lookup(lines_of(found), rows, len(self._catalogue))
        smoothed: F32 = seen + usual * PRIOR_MOVES * shares.sum(axis=1, keepdims=True)
        return smoothed

    def _content(self, out: F32, batch: Batch, rows: I64) -> None:
        history = batch.histories.rows
        out[..., _COLUMN["content_match"]] = self._match(history, rows)
        out[..., _COLUMN["last_content_match"]] = self._match(history[:, -1:], rows)

    def _match(self, history: I64, rows: I64) -> F32:
        """Cosine of the categories of `rows` [B, C] with the summed, normalised ones of `history` [B, L]."""
        size = self._catalogue.category_count + 1
        of_history = self._catalogue.categories[:, history]
        weights = 1.0 / np.sqrt(np.maximum((of_history > 0).sum(axis=0), 1))
        keys = of_history + np.arange(len(rows))[:, None] * size
        flat = np.bincount(keys.ravel(), np.broadcast_to(weights, of_history.shape).ravel(), minlength=len(rows) * size)
        profile = flat.reshape(len(rows), size).astype(np.float32)
        profile[:, 0] = 0.0
        norm = np.sqrt((profile**2).sum(axis=1))[:, None]
        of_rows = self._catalogue.categories[:, rows]
        hits = profile[np.arange(len(rows))[:, None], of_rows].sum(axis=0)
        own = np.sqrt((of_rows > 0).sum(axis=0))
        matched: F32 = hits / np.maximum(norm * own, 1e-9)
        return matched


def _popularity(out: F32, counts: CandidateCounts, valid: Bool) -> None:
    acted, fast = counts.acted, counts.acted_fast
    out[..., _COLUMN["popularity"]] = np.log1p(acted)
    out[..., _COLUMN["popularity_rank"]] = ranks(np.where(valid, acted, -np.inf))
    out[..., _COLUMN["trend"]] = np.log1p(fast)
    out[..., _COLUMN["trend_rank"]] = ranks(np.where(valid, fast, -np.inf))
    out[..., _COLUMN["velocity"]] = np.log((fast + PRIOR_COUNT) / (acted + PRIOR_COUNT))
    clicked = counts.clicked + PRIOR_SHARE * PRIOR_SHOWN
    ignored = np.maximum(counts.shown - counts.clicked, 0) + (1 - PRIOR_SHARE) * PRIOR_SHOWN
    out[..., _COLUMN["click_share"]] = np.log(clicked / ignored)
    out[..., _COLUMN["shown"]] = np.log1p(counts.shown)
    out[..., _COLUMN["total"]] = np.log1p(counts.total)
    out[..., _COLUMN["item_age"]] = np.log1p(counts.age_days)
    out[..., _COLUMN["is_new"]] = counts.total == 0


def _history(out: F32, batch: Batch) -> None:
    histories = batch.histories
    length = np.maximum(histories.length, 1)
    out[..., _COLUMN["history_length"]] = np.log1p(histories.length)[:, None]
    out[..., _COLUMN["history_gap"]] = np.log1p(histories.gaps[:, -1])[:, None]
    out[..., _COLUMN["history_value"]] = (histories.values.sum(axis=1) / length)[:, None]
    out[..., _COLUMN["last_value"]] = histories.values[:, -1:]


def ranks(scores: F32) -> F32:
    """log1p of each score's place in its line, best first, ties in order."""
    order = np.argsort(-scores, axis=1, kind="stable")
    places = np.empty(scores.shape, np.float32)
    np.put_along_axis(places, order, np.broadcast_to(np.arange(scores.shape[1], dtype=np.float32), scores.shape), 1)
    return np.log1p(places)


def _log_odds(share: F32) -> F32:
    bounded = np.clip(share, 1e-7, 1 - 1e-3)
    odds: F32 = np.log(bounded / (1 - bounded))
    return odds
