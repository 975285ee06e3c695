"""The registry of ranking features, and the feature matrix."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from eddy.contract.model import FEATURES
from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature, once_per_batch, rank_feature
from eddy_scorer.core.ranking import recommender as recommender_module
from eddy_scorer.core.ranking.feature_matrix import FeatureMatrix, ranks
from eddy_scorer.core.ranking.feature_registry import REGISTRY, registry_of
from eddy_scorer.core.state.arrays import F32
from tests.scorer.factories import NOW
from tests.scorer.world import World


def test_registry_has_the_features_of_the_contract() -> None:
    assert set(REGISTRY) == set(FEATURES)


def test_every_feature_has_a_docstring() -> None:
    undocumented = [
        name
        for name, each in REGISTRY.items()
        if not (each.compute.__doc__ or getattr(each.compute, "func", each.compute).__doc__)
    ]
    assert undocumented == []


@feature
def _one(_: FeatureContext) -> F32:
    return np.ones((1, 1), np.float32)


def test_registry_names_differences_from_the_contract() -> None:
    with pytest.raises(ValueError, match=r"declares \['other'\] of DECLARED_FEATURES"):
        registry_of([_one], ["_one", "other"])
    with pytest.raises(ValueError, match=r"does not list \['_one'\]"):
        registry_of([_one], [])
    with pytest.raises(ValueError, match="'_one' is declared twice"):
        registry_of([_one, rank_feature(_one.compute)], ["_one"])


def _matrices(monkeypatch: pytest.MonkeyPatch, *name_lists: Sequence[str]) -> list[NDArray[np.float16]]:
    """The feature matrices of the same batch for each of `name_lists`."""
    matrices: list[NDArray[np.float16]] = []

    class Several(FeatureMatrix):
        def compute(self, *of_batch: object, **_: object) -> NDArray[np.float16]:
            matrices.extend(super(Several, self).compute(*of_batch[:2], names) for names in name_lists)  # type: ignore[arg-type]  # as given
            return matrices[0]

    monkeypatch.setattr(recommender_module, "FeatureMatrix", Several)
    world = World()
    world.engine().recommend(next(world.batches()), NOW)
    return matrices


def test_any_features_in_any_order_equal_the_columns_of_all_features(monkeypatch: pytest.MonkeyPatch) -> None:
    some = ("trend_rank", "last_value", "encoder_rank", "category_rating", "popularity")
    every, chosen, backwards, none = _matrices(monkeypatch, FEATURES, some, FEATURES[::-1], ())
    np.testing.assert_array_equal(chosen, every[..., [FEATURES.index(name) for name in some]])
    np.testing.assert_array_equal(backwards, every[..., ::-1])
    assert none.shape == (*every.shape[:2], 0)


def test_unknown_feature_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(KeyError, match="made up"):
        _matrices(monkeypatch, ("popularity", "made up"))


def test_shared_results_are_computed_once_per_batch() -> None:
    calls: list[int] = []

    @once_per_batch
    def shared(_: FeatureContext) -> int:
        calls.append(1)
        return len(calls)

    class Context:
        def __init__(self) -> None:
            self.results: dict[object, object] = {}

    first, second = Context(), Context()
    assert [shared(each) for each in (first, first, second)] == [1, 1, 2]  # type: ignore[arg-type]  # nothing else is used


def test_ranks_are_log_ranks_best_first() -> None:
    row = ranks(np.array([[1.0, 3.0, 2.0, -np.inf]], np.float32))
    np.testing.assert_allclose(row, np.log1p([[2, 0, 1, 3]]), rtol=1e-6)
