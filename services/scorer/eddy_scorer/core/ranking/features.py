"""Ranking features of considered candidates: eddy.contract.model.FEATURES, over whole batches."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from eddy.contract.model import FEATURES
from eddy_scorer.core.ranking.batch import Batch, Candidates, Encoded
from eddy_scorer.core.ranking.opinions import PRIOR_LIKE, Opinions, of_neighbours, opinions_of
from eddy_scorer.core.sources.covisited import lines_of
from eddy_scorer.core.state.arrays import F32, I32, I64, Bool, grown
from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.counts import CandidateCounts, ItemCounts
from eddy_scorer.core.state.covisits import Csr, Matrices
from eddy_scorer.core.state.item_table import ItemTable

LAST_MOVES = 5
MOVE_DECAY = 0.6
MOVE_WEIGHTS: F32 = np.float32(MOVE_DECAY) ** np.arange(LAST_MOVES - 1, -1, -1, dtype=np.float32)
MOVE_WEIGHTS /= MOVE_WEIGHTS.sum()
_LAST_ALONE: F32 = np.eye(1, LAST_MOVES, LAST_MOVES - 1, dtype=np.float32)

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
        ranked = {
            "encoder_rank": self._encoder(out, candidates, encoded),
            "covisit_rank": self._covisits(out, batch, candidates, relations),
            "transition_rank": self._transitions(out, batch, candidates, relations, counts),
            "popularity_rank": counts.acted,
            "trend_rank": counts.acted_fast,
        }
        out[..., [_COLUMN[name] for name in ranked]] = _ranks(ranked.values(), valid)
        _popularity(out, counts)
        opinions = opinions_of(batch.histories, self._counts)
        self._content(out, batch, rows, opinions)
        self._values(out, batch, rows, counts, opinions)
        _history(out, batch)
        for source in ("encoder", "covisited", "trending"):
            out[..., _COLUMN[f"from_{source}"]] = candidates.brought_by[source]
        out[..., _COLUMN["has_model"]] = encoded is not None
        return np.clip(out, -_LIMIT, _LIMIT).astype(np.float16)

    def _encoder(self, out: F32, candidates: Candidates, encoded: Encoded | None) -> F32:
        """What to rank by: items without a row come last."""
        rows = candidates.rows
        known = self._table.has_vector[rows]
        scores = np.zeros(rows.shape, np.float32)
        if encoded is not None:
            dots = (self._table.vectors[rows] @ encoded.users[:, :, None])[..., 0]
            scores = np.where(known, dots + self._table.bias[rows], np.float32(0))
        out[..., _COLUMN["encoder_score"]] = scores
        return np.where(known, scores, np.float32(-np.inf))

    def _covisits(self, out: F32, batch: Batch, candidates: Candidates, relations: Relations) -> F32:
        score = self._scratch.lookup(lines_of(relations.neighbours), candidates.rows, len(self._catalogue))
        # The matrices are stated at their own time; all entries fade alike, and stand there as roots.
        half_lives = self._counts.covisit_ms[batch.scenarios]
        fade = np.exp2(-0.5 * np.maximum(batch.at - relations.matrices.at, 0) / half_lives)
        score *= fade[:, None].astype(np.float32)
        out[..., _COLUMN["covisit_score"]] = np.log1p(score)
        return score

    def _transitions(
        self, out: F32, batch: Batch, candidates: Candidates, relations: Relations, counts: CandidateCounts
    ) -> F32:
        total = relations.acted_sums[:, None] + PRIOR_COUNT * len(self._catalogue)
        usual = (counts.acted + PRIOR_COUNT) / np.maximum(total, counts.acted + PRIOR_COUNT)
        one, five = self._moves(batch.histories.rows[:, -LAST_MOVES:], candidates.rows, relations.matrices, usual)
        out[..., _COLUMN["transition_last_1"]] = _log_odds(one)
        out[..., _COLUMN["transition_last_5"]] = _log_odds(five)
        return five

    def _moves(self, last: I64, rows: I64, matrices: Matrices, usual: F32) -> tuple[F32, F32]:
        """Smoothed probability [B, C] that each of `rows` follows the last of `last` [B, L]; weighted mean of that over all of them."""
        known = np.where(last < matrices.size, last, 0)
        # p(b | a) = (moves(a, b) + PRIOR usual(b)) / (moves(a) + PRIOR): the first part by sparse product, the second by sums.
        shares = 1.0 / (matrices.moves_from[known] + PRIOR_MOVES)
        both = np.concatenate([shares * _LAST_ALONE, shares * MOVE_WEIGHTS])
        found = matrices.from_history(matrices.moves, np.concatenate([known, known]), both)
        seen = self._scratch.lookup(lines_of(found), np.concatenate([rows, rows]), len(self._catalogue))
        prior = PRIOR_MOVES * both.sum(axis=1)[:, None]
        smoothed = seen + np.concatenate([usual, usual]) * prior
        return smoothed[: len(rows)], smoothed[len(rows) :]

    def _content(self, out: F32, batch: Batch, rows: I64, opinions: Opinions) -> None:
        """Cosine of the categories of `rows` with the summed, normalised ones of the history, and of its last item; and what the user
        thought of items of like categories."""
        used = self._catalogue.categories[:, : self._catalogue.most_categories]
        of_history, of_rows = used[batch.histories.rows], used[rows]
        own = np.sqrt((of_rows > 0).sum(axis=2))
        size = self._catalogue.category_count + 1
        last = _profile(of_history[:, -1:], size)
        out[..., _COLUMN["content_match"]] = _match(_unit(_profile(of_history, size)), of_rows, own)
        out[..., _COLUMN["last_content_match"]] = _match(_unit(last), of_rows, own)
        likeness = _match(_profile(of_history, size, opinions.there), of_rows, own)
        opinion = _match(_profile(of_history, size, opinions.centred), of_rows, own)
        out[..., _COLUMN["opinion_of_categories"]] = opinion / (likeness + PRIOR_LIKE)

    def _values(self, out: F32, batch: Batch, rows: I64, counts: CandidateCounts, opinions: Opinions) -> None:
        means = self._counts.mean_values(rows)
        out[..., _COLUMN["item_value"]] = means
        out[..., _COLUMN["user_level"]] = opinions.level[:, None]
        out[..., _COLUMN["user_spread"]] = opinions.spread[:, None]
        more = means - np.float32(opinions.usual_value)
        out[..., _COLUMN["like_what_others_like"]] = opinions.by_value[:, None] * more
        more = np.log1p(counts.total) - opinions.usual_total[:, None]
        out[..., _COLUMN["like_what_others_know"]] = opinions.by_total[:, None] * more
        out[..., _COLUMN["opinion_of_neighbours"]] = of_neighbours(
            opinions, batch.histories.rows, rows, self._table.vectors
        )


def _profile(categories: I32, size: int, weights: F32 | None = None) -> F32:
    """Sums [B, size] of the categories [B, L, K] of L items, each item's of length 1, or of length `weights` [B, L]."""
    lines = len(categories)
    lengths = 1.0 / np.sqrt(np.maximum((categories > 0).sum(axis=2, keepdims=True), 1))
    if weights is not None:
        lengths = lengths * weights[:, :, None]
    keys = categories + (np.arange(lines) * size)[:, None, None]
    flat = np.bincount(keys.ravel(), np.broadcast_to(lengths, keys.shape).ravel(), minlength=lines * size)
    profile = flat.reshape(lines, size).astype(np.float32)
    profile[:, 0] = 0.0
    return profile


def _unit(profile: F32) -> F32:
    """Each line [B, size] at length 1."""
    norm = np.sqrt((profile**2).sum(axis=1, keepdims=True))
    return np.asarray(profile / np.maximum(norm, 1e-9), np.float32)


def _match(profile: F32, categories: I32, own: F32) -> F32:
    """Cosine of each line of `profile` [B, size] with items of `categories` [B, C, K], whose vectors have length `own` [B, C]."""
    keys = categories + (np.arange(len(profile)) * profile.shape[1])[:, None, None]
    return np.asarray(profile.ravel().take(keys).sum(axis=2) / np.maximum(own, 1.0), np.float32)


def _popularity(out: F32, counts: CandidateCounts) -> None:
    acted, fast = counts.acted, counts.acted_fast
    out[..., _COLUMN["popularity"]] = np.log1p(acted)
    out[..., _COLUMN["trend"]] = np.log1p(fast)
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
    """log1p of each score's place in its line, best first, ties in order; `scores` are [lines, C]."""
    order = np.argsort(-scores, axis=1, kind="stable")
    places = np.empty(scores.shape, np.float32)
    places[np.arange(len(scores))[:, None], order] = np.log1p(np.arange(scores.shape[1], dtype=np.float32))
    return places


def _ranks(scores: Collection[F32], valid: Bool) -> F32:
    """Ranks [B, C, S] by each of S scores [B, C]; what is not valid comes last. One sort for all."""
    stacked = np.where(valid, np.stack(list(scores)), np.float32(-np.inf))
    return np.moveaxis(ranks(stacked.reshape(-1, valid.shape[1])).reshape(stacked.shape), 0, -1)


def _log_odds(share: F32) -> F32:
    bounded = np.clip(share, 1e-7, 1 - 1e-3)
    odds: F32 = np.log(bounded / (1 - bounded))
    return odds
