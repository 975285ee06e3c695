"""Co-visitation matrices, compared with sums by definition."""

import numpy as np
import pytest

from eddy.errors import PoisonError
from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.covisits import ALPHA, SMOOTHING, CoVisits, Matrices, matrices_of, strongest
from tests.scorer.factories import DAY, NOW, counts, item_features, scenarios

HALF_LIFE_SEC = 100 * DAY / 1000


def _matrices(popularity: list[float], as_of: list[int], **before: dict[str, float]) -> tuple[Matrices, Catalogue]:
    catalogue = Catalogue(scenarios())
    covisits = CoVisits({"video": HALF_LIFE_SEC, "shop": HALF_LIFE_SEC / 2})
    catalogue.ensure_rows(before)
    for name, edges in before.items():
        covisits.apply(catalogue.find(name), item_features(name, edges), catalogue)
    result = covisits.snapshot(np.array([0, *as_of], np.int64), np.array([0.0, *popularity]))
    return matrices_of(result), catalogue


def test_covisitation_is_symmetric_and_normalised_by_popularity() -> None:
    matrices, catalogue = _matrices([1.0, 13.0], [NOW, NOW], a={"b": 4.0}, b={"a": 2.0})
    a, b = catalogue.find("a"), catalogue.find("b")
    assert matrices.covisitations[a, b] == pytest.approx(6.0**0.5 / ((13.0 + SMOOTHING) * (1.0 + SMOOTHING)) ** ALPHA)
    assert matrices.covisitations[b, a] == matrices.covisitations[a, b]


def test_transitions_are_one_way() -> None:
    matrices, catalogue = _matrices([1.0, 1.0], [NOW, NOW], a={}, b={"a": 2.0})
    a, b = catalogue.find("a"), catalogue.find("b")
    assert matrices.transitions[a, b] == pytest.approx(1.0)
    assert matrices.transitions[b, a] == 0.0
    assert matrices.transitions_from[[a, b]].tolist() == [1.0, 0.0]


def test_weights_decay_to_the_newest_time() -> None:
    old = NOW - round(HALF_LIFE_SEC * 1000)
    matrices, catalogue = _matrices([0.0, 0.0, 0.0], [NOW, old, NOW], a={}, b={"a": 4.0}, c={"a": 4.0})
    transitions = matrices.transitions[catalogue.find("a")].toarray().ravel()
    assert transitions[catalogue.find("b")] == pytest.approx(1.0)
    assert transitions[catalogue.find("c")] == pytest.approx(2.0)
    assert matrices.at == NOW


def test_item_of_several_scenarios_has_the_longest_half_life() -> None:
    catalogue = Catalogue(scenarios())
    covisits = CoVisits({"video": HALF_LIFE_SEC, "shop": HALF_LIFE_SEC / 2})
    old = NOW - round(HALF_LIFE_SEC * 1000)
    catalogue.ensure_rows("abc")
    for name, of in (("b", ["shop"]), ("c", ["shop", "video"])):
        record = item_features(name, {"a": 8.0}, counts=[counts(1.0, scenario) for scenario in of])
        covisits.apply(catalogue.find(name), record, catalogue)
    matrices = matrices_of(covisits.snapshot(np.array([0, NOW, old, old]), np.zeros(4)))
    transitions = matrices.transitions[catalogue.find("a")].toarray().ravel()
    assert transitions.tolist() == pytest.approx([0.0, 0.0, 1.0, 2.0])


def test_weighted_sum_over_a_history_matches_the_dense_sum() -> None:
    rng = np.random.default_rng(3)
    names = [f"m{number}" for number in range(30)]
    before = {name: {str(other): float(rng.integers(1, 9)) for other in rng.choice(names, 5)} for name in names}
    matrices, _ = _matrices([1.0] * 30, [NOW] * 30, **before)
    rows = np.array([[0, 3, 7], [5, 5, 999]])
    weights = np.array([0.25, 0.5, 1.0], np.float32)
    result = matrices.weighted_sum(matrices.covisitations, rows, weights).toarray()
    dense = matrices.covisitations.toarray()
    assert result[0] == pytest.approx(0.5 * dense[3] + dense[7])
    assert result[1] == pytest.approx(0.75 * dense[5])


def test_only_the_strongest_neighbours_are_kept() -> None:
    matrices, catalogue = _matrices([1.0] * 5, [NOW] * 5, a={"b": 1.0, "c": 5.0, "d": 3.0}, b={}, c={}, d={}, e={})
    kept = strongest(matrices.covisitations, 2)
    row = kept[catalogue.find("a")].toarray().ravel()
    assert set(np.flatnonzero(row)) == {catalogue.find("c"), catalogue.find("d")}
    assert kept[catalogue.find("b")].nnz == 1


def test_item_is_no_neighbour_of_itself() -> None:
    matrices, _ = _matrices([1.0], [NOW], a={"a": 3.0})
    assert matrices.covisitations.nnz == 0


def test_malformed_columns_are_refused() -> None:
    covisits, catalogue = CoVisits({"video": HALF_LIFE_SEC, "shop": HALF_LIFE_SEC / 2}), Catalogue(scenarios())
    for record in (
        item_features("a", {"b": 1.0}, transition_weights=[]),
        item_features("a", {"b": float("inf")}),
    ):
        with pytest.raises(PoisonError, match="bad_features"):
            covisits.apply(1, record, catalogue)
    assert not covisits.dirty
