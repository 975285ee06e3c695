"""How a candidate's categories match those of the user's history."""

from dataclasses import dataclass

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch
from eddy_scorer.core.features.ratings import PRIOR_LIKE, explicit_ratings
from eddy_scorer.core.state.arrays import F32, F64, I64


@dataclass(frozen=True, slots=True)
class _Categories:
    """Categories as indices in flat profiles [B * size]: of the history [B, HISTORY, K] and of the candidates [B, C, K].

    Index 0 of each request's profile is for no category. `history_weights` [B, HISTORY, 1] give each item's categories the length 1;
    `candidate_lengths` [B, C] are those of the candidates' category vectors.
    """

    history: I64
    history_weights: F64
    candidates: I64
    candidate_lengths: F64
    size: int


@once_per_batch
def _categories(context: FeatureContext) -> _Categories:
    used = context.catalogue.categories[:, : context.catalogue.most_categories]
    history, candidates = used[context.histories.rows], used[context.rows]
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
    """Cosine of the item's categories with the summed ones of the history."""
    categories = _categories(context)
    return _match(_unit(_profile(categories, categories.history, categories.history_weights)), categories)


@feature
def last_content_match(context: FeatureContext) -> F32:
    """The same with the last item alone."""
    categories = _categories(context)
    return _match(
        _unit(_profile(categories, categories.history[:, -1:], categories.history_weights[:, -1:])), categories
    )


@feature
def category_rating(context: FeatureContext) -> F32:
    """Explicit ratings of the history less the user's bias, weighted by similarity of categories."""
    categories, ratings = _categories(context), explicit_ratings(context)
    similarity, rated = (
        _match(_profile(categories, categories.history, categories.history_weights * weights[:, :, None]), categories)
        for weights in (ratings.given, ratings.residuals)
    )
    return np.asarray(rated / (similarity + PRIOR_LIKE))


def _profile(categories: _Categories, indices: I64, weights: F64) -> F32:
    """Sums [B, size] of `weights` [B, L, 1] at `indices` [B, L, K]."""
    count = len(indices)
    each = np.broadcast_to(weights, indices.shape).ravel()
    flat = np.bincount(indices.ravel(), each, minlength=count * categories.size)
    profile = flat.reshape(count, categories.size).astype(np.float32)
    profile[:, 0] = 0.0
    return profile


def _unit(profile: F32) -> F32:
    """Each row [B, size] at length 1."""
    norm = np.sqrt((profile**2).sum(axis=1, keepdims=True))
    return np.asarray(profile / np.maximum(norm, 1e-9), np.float32)


def _match(profile: F32, categories: _Categories) -> F32:
    """Dot product [B, C] of each request's row of `profile` [B, size] with its candidates' category vectors at length 1."""
    sums = profile.ravel().take(categories.candidates).sum(axis=2)
    return np.asarray(sums / categories.candidate_lengths, np.float32)
