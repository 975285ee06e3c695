"""Rows, availability and words of items."""

import numpy as np
import pytest

from eddy.errors import PoisonError
from eddy_scorer.core.state.catalogue import MAX_CATEGORIES, Catalogue
from tests.scorer.factories import NOW, item, recommender, scenarios

VIDEO, SHOP = 0, 1


def _eligible(catalogue: Catalogue, scenario: int) -> list[str]:
    return [catalogue.ids[row] for row in np.flatnonzero(catalogue.eligible[scenario])]


def test_item_keeps_its_row_while_the_catalogue_grows() -> None:
    catalogue = Catalogue(scenarios())
    rows = catalogue.ensure_rows([f"m{number}" for number in range(1000)])
    assert rows == list(range(1, 1001))
    assert catalogue.ensure_row("m999") == 1000
    assert catalogue.find("m7") == 8
    assert catalogue.find("nobody") == 0
    assert catalogue.eligible.shape[1] >= len(catalogue) == 1001


@pytest.mark.parametrize("junk_first", [False, True])
@pytest.mark.parametrize(("named", "left"), [(["video"], ["junk"]), ([], []), (["shop", "gone"], []), (None, ["junk"])])
def test_the_tombstones_that_are_left_of_a_catalogue_keep_junk_out(
    junk_first: bool, named: list[str] | None, left: list[str]
) -> None:
    """After a restart. Without the scenarios of the item nothing is known, and counts suffice."""
    items = recommender().state.items
    catalogue = items._columns.catalogue
    steps = [
        lambda: catalogue.allow_counted(catalogue.ensure_row("junk"), [VIDEO, SHOP]),
        lambda: items.withdraw("m1", named),
    ]
    for step in steps if junk_first else reversed(steps):
        step()
    assert _eligible(catalogue, SHOP) == left
    assert _eligible(catalogue, VIDEO) == ([] if named in (["video"], []) else ["junk"])
    catalogue.apply(item("m2"))
    assert _eligible(catalogue, VIDEO) == _eligible(catalogue, SHOP) == ["m2"]


def test_published_item_is_eligible_where_its_publisher_says() -> None:
    catalogue = Catalogue(scenarios())
    catalogue.apply(item("everywhere"))
    catalogue.apply(item("shop", scenarios=["shop"]))
    catalogue.apply(item("gone", available=False))
    assert _eligible(catalogue, VIDEO) == ["everywhere"]
    assert _eligible(catalogue, SHOP) == ["everywhere", "shop"]
    assert catalogue.eligible_count[SHOP] == 2


def test_item_follows_its_availability() -> None:
    catalogue = Catalogue(scenarios())
    for available in (True, False, False, True):
        catalogue.apply(item("m", available=available))
    assert catalogue.eligible_count[VIDEO] == 1
    catalogue.withdraw("m")
    assert catalogue.eligible_count[VIDEO] == 0


def test_unpublished_item_is_eligible_where_it_has_counts() -> None:
    catalogue = Catalogue(scenarios())
    row = catalogue.ensure_row("seen-in-events")
    assert not catalogue.eligible[VIDEO, row]
    catalogue.allow_counted(row, [VIDEO])
    assert catalogue.eligible[VIDEO, row]
    assert not catalogue.eligible[SHOP, row]
    catalogue.apply(item("seen-in-events", available=False))
    catalogue.allow_counted(row, [VIDEO])
    assert not catalogue.eligible[VIDEO, row]


@pytest.mark.parametrize("published_first", [True, False])
def test_once_a_scenario_has_a_catalogue_only_published_items_are_eligible(published_first: bool) -> None:
    """The order in which items and counts are read makes no difference."""
    catalogue = Catalogue(scenarios())
    rows = catalogue.ensure_rows(["undefined", "null", "m1 "])

    def count() -> None:
        for row in rows:
            catalogue.allow_counted(row, [VIDEO, SHOP])

    if not published_first:
        count()
        assert _eligible(catalogue, VIDEO) == ["undefined", "null", "m1 "]
    catalogue.apply(item("m1", scenarios=["video"]))
    if published_first:
        count()
    assert _eligible(catalogue, VIDEO) == ["m1"]
    assert catalogue.eligible_count[VIDEO] == 1
    assert len(_eligible(catalogue, SHOP)) == 3  # nothing is published there
    assert catalogue.unpublished_counts()["video"] == 3
    assert catalogue.unpublished_counts()["shop"] == 0
    if not published_first:
        assert set(catalogue.take_changed()) == set(rows)
    assert catalogue.take_changed() == []


def test_a_scenario_may_allow_items_that_are_not_published() -> None:
    every = scenarios()
    video = every["video"].model_copy(update={"published_only": False})
    catalogue = Catalogue(every.model_copy(update={"scenarios": {**every.scenarios, "video": video}}))
    catalogue.apply(item("m1"))
    catalogue.allow_counted(catalogue.ensure_row("m2"), [VIDEO])
    assert _eligible(catalogue, VIDEO) == ["m1", "m2"]


def test_a_deleted_item_is_eligible_nowhere_until_it_is_published_again() -> None:
    """Also in a scenario without the filter `unavailable`, with counts before and after, and with nothing else published."""
    every = scenarios()
    shop = every["shop"].model_copy(update={"filters": ("seen",), "published_only": False})
    catalogue = Catalogue(every.model_copy(update={"scenarios": {**every.scenarios, "shop": shop}}))
    row = catalogue.apply(item("m1", title="Kettle"))
    catalogue.allow_counted(row, [VIDEO, SHOP])
    catalogue.withdraw("m1")
    catalogue.allow_counted(row, [VIDEO, SHOP])
    assert [_eligible(catalogue, scenario) for scenario in (VIDEO, SHOP)] == [[], []]
    assert catalogue.is_withheld(row, SHOP)
    assert catalogue.word_matches("kettle") == {}
    catalogue.apply(item("m1"))
    assert [_eligible(catalogue, scenario) for scenario in (VIDEO, SHOP)] == [["m1"], ["m1"]]


def test_words_follow_the_newest_record() -> None:
    catalogue = Catalogue(scenarios())
    row = catalogue.apply(item("m", title="Toy Story (1995)", categories=["Animation"]))
    assert catalogue.word_matches("story ANIMATION dogs") == {row: 2}
    catalogue.apply(item("m", title="Heat"))
    assert catalogue.word_matches("story animation") == {}
    assert catalogue.word_matches("heat") == {row: 1}


def test_item_without_an_id_is_refused() -> None:
    with pytest.raises(PoisonError, match="missing_item"):
        Catalogue(scenarios()).ensure_row("")


def test_categories_above_the_limit_get_no_number() -> None:
    catalogue = Catalogue(scenarios())
    catalogue.apply(item("m", categories=[f"tag{number}" for number in range(1000)]))
    assert catalogue.category_count == MAX_CATEGORIES


def test_without_the_availability_filter_items_stay_in_their_scenarios() -> None:
    every = scenarios()
    shop = every["shop"].model_copy(update={"filters": ("seen",)})
    catalogue = Catalogue(every.model_copy(update={"scenarios": {**every.scenarios, "shop": shop}}))
    catalogue.apply(item("film", scenarios=["video"]))
    catalogue.apply(item("gone", scenarios=["shop"], available=False))
    assert _eligible(catalogue, SHOP) == ["gone"]
    assert _eligible(catalogue, VIDEO) == ["film"]


def test_an_unpublished_item_without_counts_is_eligible_nowhere() -> None:
    catalogue = Catalogue(scenarios())
    row = catalogue.ensure_row("seen-in-events")
    catalogue.allow_counted(row, [VIDEO])
    catalogue.disallow_uncounted(row)
    assert _eligible(catalogue, VIDEO) == []
    assert catalogue.eligible_count[VIDEO] == 0


def test_category_names_are_compared_as_words_are() -> None:
    catalogue = Catalogue(scenarios())
    first, second = (
        catalogue.apply(item(f"m{number}", categories=[name])) for number, name in enumerate(("Café", "CAFE\u0301"))
    )
    assert catalogue.categories[first].tolist() == catalogue.categories[second].tolist()


def test_an_item_is_born_at_its_publication_arrival_or_first_interaction() -> None:
    catalogue = Catalogue(scenarios())
    rows = [
        catalogue.apply(item("published", published_at=NOW), arrived_at=NOW + 5),
        catalogue.apply(item("arrived"), arrived_at=NOW + 1),
        catalogue.apply(item("back-filled"), arrived_at=NOW + 1),
        catalogue.apply(item("unknown")),
    ]
    catalogue.apply(item("arrived", title="Changed"), arrived_at=NOW + 9)
    born = catalogue.born_at(np.array(rows), np.array([0, 0, NOW - 7, 0]))
    assert born.tolist() == [NOW, NOW + 1, NOW - 7, 0]
    catalogue.withdraw("arrived")
    catalogue.apply(item("arrived"), arrived_at=NOW + 20)
    assert catalogue.born_at(np.array(rows[1:2]), np.array([0])).tolist() == [NOW + 20]
