"""Similarity of a candidate's categories to those of the user's history."""

from dataclasses import dataclass

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch
from eddy_scorer.core.features.ratings import PRIOR_SIMILARITY, history_ratings
from eddy_scorer.core.state.arrays import F32, F64, I64


@dataclass(frozen=True, slots=True)
class _Categories:
    """Categories as indices into flat profiles [B * size]: of the history [B, HISTORY, K] and of the candidates [B, C, K].

    Index 0 of each request's profile stands for no category. `history_weights` [B, HISTORY, 1] scale each item's category vector to length
    1; `candidate_lengths` [B, C] are the lengths of the candidates' category vectors.
    """

    history: I64
    history_weights: F64
    candidates: I64
    candidate_lengths: F64
    size: int


@once_per_batch
def _categories(context: FeatureContext) -> _Categories:
    categories = context.catalogue.categories[:, : context.catalogue.max_categories_used]
    history, candidates = categories[context.histories.rows], categories[context.rows]
    size = context.catalogue.category_count + 1
    starts = (np.arange(len(history)) * size)[:, None, None]
    return _Categories(
        history=history + starts,
        history_weights=1.0 / np.sqrt(np.maximum((history > 0).sum(axis=2, keepdims=True), 1)),
        candidates=candidates + starts,
        candidate_lengths=np.maximum(np.sqrt((candidates > 0).sum(axis=2)), 1.0),
        size=size,
    )


@feature
def content_match(context: FeatureContext) -> F32:
    """Cosine of the item's categories with the sum of the history's."""
    categories = _categories(context)
    return _match(_unit(_profile(categories, categories.history, categories.history_weights)), categories)


@feature
def last_content_match(context: FeatureContext) -> F32:
    """Cosine of the item's categories with those of the last item of the history."""
    categories = _categories(context)
    return _match(
        _unit(_profile(categories, categories.history[:, -1:], categories.history_weights[:, -1:])), categories
    )


@feature
def category_rating(context: FeatureContext) -> F32:
    """Mean residual of the user's ratings, weighted by similarity of categories."""
    categories, ratings = _categories(context), history_ratings(context)
    similarity, residuals = (
        _match(_profile(categories, categories.history, categories.history_weights * weights[:, :, None]), categories)
        for weights in (ratings.mask, ratings.residuals)
    )
    return np.asarray(residuals / (similarity + PRIOR_SIMILARITY))


def _profile(categories: _Categories, indices: I64, weights: F64) -> F32:
    """Sum [B, size] of `weights` [B, L, 1] by category index `indices` [B, L, K]."""
    count = len(indices)
    flat_weights = np.broadcast_to(weights, indices.shape).ravel()
    flat = np.bincount(indices.ravel(), flat_weights, minlength=count * categories.size)
    profile = flat.reshape(count, categories.size).astype(np.float32)
    profile[:, 0] = 0.0
    return profile


def _unit(profile: F32) -> F32:
    """Scale each row of `profile` [B, size] to length 1."""
    norm = np.sqrt((profile**2).sum(axis=1, keepdims=True))
    return np.asarray(profile / np.maximum(norm, 1e-9), np.float32)


def _match(profile: F32, categories: _Categories) -> F32:
    """Dot product [B, C] of each request's row of `profile` [B, size] with its candidates' category vectors, scaled to length 1."""
    sums = profile.ravel().take(categories.candidates).sum(axis=2)
    return np.asarray(sums / categories.candidate_lengths, np.float32)
