"""Rows of items that are gone are given to new ones: memory stays flat, and a new item has nothing of the former one."""

import numpy as np
import pytest

from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.state import row_reclaim
from eddy_scorer.core.state.scorer_state import ScorerState
from tests.scorer.factories import (
    item,
    item_features,
    item_ids_of,
    recommend,
    request,
    scenarios,
    seen_items,
    user_features,
)

pytestmark = pytest.mark.unit

DEAD = 20


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class World:
    """A recommender whose derived state is rebuilt whenever it is stale."""

    def __init__(self) -> None:
        self._clock = Clock()
        self.recommender = Recommender(scenarios(), np.random.default_rng(0), monotonic=self._clock)
        self.state: ScorerState = self.recommender.state

    def publish(self, name: str, before: dict[str, float] | None = None, **changes: object) -> None:
        self.recommender.apply_item(item(name, **{"title": f"title {name}", "categories": [f"c {name}"], **changes}))
        self.recommender.apply_item_features(item_features(name, before))
        self.recommender.set_embeddings([name], np.ones((1, 64), np.float32), np.zeros(1, np.float32))

    def remove(self, *names: str) -> None:
        for name in names:
            self.state.items.withdraw(name)
            self.state.items.forget_features(name)
        self.state.items.drop_embeddings(list(names))

    def pass_time(self, steps: int = 12) -> None:
        for _ in range(steps):
            self._clock.now += 100.0
            self.state.refresh()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(row_reclaim, "MIN_DEAD_ROWS", DEAD)
    monkeypatch.setattr(row_reclaim, "SLICE", 64)
    return World()


def names_of(day: int, count: int = DEAD) -> list[str]:
    return [f"d{day}-{number}" for number in range(count)]


def sizes(state: ScorerState) -> dict[str, int]:
    catalogue = state.catalogue
    dictionaries = ("_rows", "_rows_of_hash", "_rows_of_digest", "_rows_of_word", "_words", "_category_numbers")
    return {
        "rows": len(catalogue),
        "users": len(state.users),
        "edges": state.matrices.covisitations.nnz,
        **{name: len(getattr(catalogue, name)) for name in dictionaries},
    }


def test_a_month_of_churn_ends_with_flat_memory(world: World) -> None:
    """Every day has new items and users; those of the day before yesterday are gone."""
    measured = []
    for day in range(30):
        names, before = names_of(day, 40), names_of(day - 1, 40)
        for number, name in enumerate(names):
            world.publish(name, {before[number]: 2.0} if day else None)
            world.recommender.apply_user_features(user_features(f"u{day}-{number}", [name, *before[:day]][:20]))
        if day > 1:
            world.remove(*names_of(day - 2, 40))
            for number in range(40):
                world.state.users.forget(f"u{day - 2}-{number}")
        world.pass_time()
        slate = item_ids_of(recommend(world.recommender, request(f"u{day}-0", limit=10))[0])
        assert len(slate) == 10
        assert set(slate) <= set(names) | set(before)
        measured.append(sizes(world.state))
    assert max(each.pop("rows") for each in measured) <= 1 + 4 * 40  # of 1,200 items, of which 80 are there at a time
    for name in measured[0]:  # flat, but for the moments of the sweeps
        assert max(each[name] for each in measured[20:]) <= 1.5 * max(each[name] for each in measured[4:10]), name


def test_a_new_item_has_nothing_of_the_former_one(world: World) -> None:
    gone, new = names_of(0), names_of(1)
    world.publish("kept", dict.fromkeys(gone, 3.0))
    for name in gone:
        world.publish(name, {"kept": 3.0})
    rows = {world.state.catalogue.find(name) for name in gone}
    seen = user_features("u", ["kept"], seen_items=seen_items("kept", *gone))
    world.recommender.apply_user_features(seen)
    world.pass_time()
    assert recommend(world.recommender, request("u"))[0]["items"] == []  # all seen
    world.remove(*gone)
    world.pass_time()
    for name in new:
        world.recommender.apply_item(item(name))
    assert {world.state.catalogue.find(name) for name in new} == rows
    world.pass_time()
    state, some = world.state, np.array(sorted(rows))
    assert state.matrices.covisitations.nnz == 0
    assert not state.table.has_vector[some].any()
    assert not state.counts.totals[some].any()
    assert not state.catalogue.categories[some].any()
    assert state.catalogue.word_matches("title") == {state.catalogue.find("kept"): 1}
    assert state.exposure.top(0)[0] not in rows
    assert set(item_ids_of(recommend(world.recommender, request("u", limit=30))[0])) == set(new)


def test_a_row_that_a_history_refers_to_is_kept(world: World) -> None:
    gone = names_of(0, 40)
    for name in gone:
        world.publish(name)
    world.recommender.apply_user_features(user_features("u", gone[:10]))
    world.remove(*gone)
    world.pass_time()
    state = world.state
    assert [name for name in gone if state.catalogue.find(name)] == gone[:10]
    assert state.users.snapshot(state.users.get("u"))["item_ids"] == gone[:10]
    state.users.forget("u")
    for name in names_of(1):
        world.publish(name)
    world.remove(*names_of(1))
    world.pass_time()
    assert state.catalogue.item_count == 0


def test_an_item_that_comes_back_during_the_sweep_keeps_its_row(world: World) -> None:
    gone = names_of(0, 200)
    for name in gone:
        world.publish(name)
    world.remove(*gone)
    world.pass_time(2)  # the sweep has begun
    back, touched = gone[7], gone[8]
    world.publish(back)
    world.recommender.apply_user_features(user_features("u", [touched]))
    world.pass_time()
    assert sorted(filter(None, world.state.catalogue.ids)) == sorted([back, touched])
    assert item_ids_of(recommend(world.recommender, request("v"))[0]) == [back]


def test_a_deleted_item_stays_deleted_when_its_row_is_gone(world: World) -> None:
    """Late counts name it again, in a scenario that recommends items without a record."""
    gone = names_of(0)
    for name in gone:
        world.publish(name)
    world.remove(*gone)
    world.pass_time()
    assert world.state.catalogue.item_count == 0
    world.recommender.apply_item_features(item_features(gone[0]))
    world.pass_time()
    assert recommend(world.recommender, request("u"))[0]["items"] == []
    world.publish(gone[0])
    world.pass_time()
    assert item_ids_of(recommend(world.recommender, request("u"))[0]) == [gone[0]]


def test_an_item_that_was_never_known_leaves_no_row(world: World) -> None:
    world.remove("nobody")
    assert len(world.state.catalogue) == 1
    world.recommender.apply_item_features(item_features("nobody"))
    world.pass_time()
    assert recommend(world.recommender, request("u"))[0]["items"] == []
