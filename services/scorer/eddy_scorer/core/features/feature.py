"""How a ranking feature is declared.

    @feature
    def popularity(context: FeatureContext) -> F32:
        \"\"\"log1p of slowly decayed interactions in the scenario.\"\"\"
        return np.log1p(candidate_counts(context).interactions)

The function's name is the feature's name. It computes a whole batch at once and returns [B, C], or [B, 1] for a value that all
candidates of a request share. Columns without a candidate may have any finite value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TypeAlias, TypeVar

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.state.arrays import F32

T = TypeVar("T")
Compute: TypeAlias = Callable[[FeatureContext], F32]


@dataclass(frozen=True, slots=True)
class Feature:
    """A named column of the feature matrix. With `by_rank`, the column is the rank of what `compute` returns."""

    name: str
    compute: Compute
    by_rank: bool = False


def feature(compute: Compute) -> Feature:
    """Declare a feature whose values the decorated function computes."""
    return Feature(compute.__name__, compute)


def rank_feature(compute: Compute) -> Feature:
    """Declare a rank feature: the decorated function computes the scores to rank by, -inf for candidates that come last.

    The feature's value is log1p of the rank (0 is best) among the candidates of the request. All ranks of a batch share one sort.
    """
    return Feature(compute.__name__, compute, by_rank=True)


def once_per_batch(compute: Callable[[FeatureContext], T]) -> Callable[[FeatureContext], T]:
    """Share an intermediate result between features: it is computed once per batch, at first use."""

    @wraps(compute)
    def shared(context: FeatureContext) -> T:
        if compute not in context.results:
            context.results[compute] = compute(context)
        result: T = context.results[compute]
        return result

    return shared
