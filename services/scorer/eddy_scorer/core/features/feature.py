"""How a ranking feature is declared.

    @feature
    def popularity(context: FeatureContext) -> F32:
        \"\"\"log1p of slow decayed actions in the scenario.\"\"\"
        return np.log1p(candidate_counts(context).acted)

The function's name is the feature's name. It computes a whole batch at once and answers [B, C], or [B, 1] for what is the same for
all candidates of a request. What it answers for columns that hold no candidate does not matter, as long as it is finite.
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
    """A named column of the feature matrix; where `by_rank`, the column is the rank of what `compute` answers."""

    name: str
    compute: Compute
    by_rank: bool = False


def feature(compute: Compute) -> Feature:
    """Declare a feature: the decorated function computes its values."""
    return Feature(compute.__name__, compute)


def rank_feature(compute: Compute) -> Feature:
    """Declare a rank: the decorated function computes what candidates are ranked by, -inf for those that come last.

    The feature is log1p of the rank (0 is best) among the candidates of the request. All ranks of a batch share one sort.
    """
    return Feature(compute.__name__, compute, by_rank=True)


def once_per_batch(compute: Callable[[FeatureContext], T]) -> Callable[[FeatureContext], T]:
    """Share an intermediate result between features: computed when the first of them asks for it."""

    @wraps(compute)
    def shared(context: FeatureContext) -> T:
        if compute not in context.results:
            context.results[compute] = compute(context)
        result: T = context.results[compute]
        return result

    return shared
