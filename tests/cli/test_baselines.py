"""The baselines against their definitions, computed anew for every event."""

import math
import random
from collections import defaultdict

import numpy as np
import pytest

from eddy_cli import baselines
from eddy_cli.baselines import DAY_MS, Covisitation, PlayedHistories, Popularity, rank_among_unseen

ITEMS, USERS, EVENTS = 30, 6, 400


def events_of(days: int) -> list[tuple[int, int, int]]:
    """User, item and time of a stream in which users sometimes return to items."""
    source = random.Random(7)
    times = sorted(source.randrange(days * DAY_MS) for _ in range(EVENTS))
    return [(source.randrange(USERS), min(int(source.expovariate(0.15)), ITEMS - 1), at) for at in times]


def rank_by_definition(scores: dict[int, float], item: int, seen: set[int]) -> int:
    if item in seen or not scores[item]:
        return ITEMS - 1
    return sum(1 for other in range(ITEMS) if other not in seen and scores[other] > scores[item] * (1 + 1e-6))


@pytest.mark.parametrize("days", [400, 3000])
def test_popularity_is_the_decayed_count_of_unseen_items(days: int) -> None:
    baseline = Popularity(ITEMS, half_life_days=30)
    past: list[tuple[int, int, int]] = []
    for user, item, at in events_of(days):
        scores: dict[int, float] = defaultdict(float)
        for _, other, then in past:
            scores[other] += 2.0 ** ((then - at) / (30 * DAY_MS))
        seen = {other for past_user, other, _ in past if past_user == user}
        assert baseline.rank(user, item) == rank_by_definition(scores, item, seen)
        baseline.learn(user, item, at)
        past.append((user, item, at))


@pytest.mark.parametrize("dense_items", [ITEMS, ITEMS - 1])
@pytest.mark.parametrize("days", [400, 5000])
def test_covisitation_follows_its_definition(days: int, dense_items: int, monkeypatch: pytest.MonkeyPatch) -> None:
    events = events_of(days)
    monkeypatch.setattr(baselines, "DENSE_ITEMS", dense_items)
    rule = Covisitation(ITEMS)
    weights: dict[tuple[int, int], float] = defaultdict(float)
    popularity: dict[int, float] = defaultdict(float)
    normaliser: dict[int, float] = {}
    histories: dict[int, list[int]] = defaultdict(list)
    half_life_ms, first = rule.half_life_days * DAY_MS, events[0][2]
    for user, item, at in events:
        last = histories[user][::-1][: baselines.HISTORY]
        scores: dict[int, float] = defaultdict(float)
        for distance, before in enumerate(last, 1):
            importance = distance**-rule.score_power * popularity[before] ** -rule.beta
            for other in range(ITEMS):
                strength = weights[before, other] ** rule.power * normaliser.get(other, 0.0)
                scores[other] += importance * strength
        if not scores[item]:
            scores = defaultdict(float, {o: math.inf if scores[o] else popularity[o] for o in range(ITEMS)})
        assert rule.rank(user, item) == rank_by_definition(scores, item, set(histories[user]))
        rule.learn(user, item, at)
        grown = 2.0 ** ((at - first) / half_life_ms)
        for distance, before in enumerate(last, 1):
            if before != item:
                learned = grown * distance**-rule.learn_power
                weights[item, before] += learned
                weights[before, item] += learned
        popularity[item] += grown
        normaliser[item] = (popularity[item] + rule.smoothing * grown) ** -rule.alpha
        if item in histories[user]:
            histories[user].remove(item)
        histories[user].append(item)


@pytest.mark.parametrize("dense_items", [ITEMS, ITEMS - 1])
def test_baselines_stay_exact_over_a_century(dense_items: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what float32 holds a baseline once found everything: nothing was better than infinity."""
    monkeypatch.setattr(baselines, "DENSE_ITEMS", dense_items)
    source = random.Random(1)
    times = [0, *sorted(source.randrange(10_000 * DAY_MS, 36_500 * DAY_MS) for _ in range(EVENTS))]
    for rule in (Popularity(ITEMS), Covisitation(ITEMS)):
        ranks = []
        for at in times:
            user, item = source.randrange(USERS), source.randrange(ITEMS)
            ranks.append(rule.rank(user, item))
            rule.learn(user, item, at)
        assert np.mean(ranks[-200:]) > ITEMS / 4


def test_ties_favour_the_baseline() -> None:
    scores = np.array([1.0, 2.0, 2.0, 2.0, 3.0], np.float32)
    assert rank_among_unseen(scores, 3, np.array([], np.int32)) == 1
    assert rank_among_unseen(scores, 3, np.array([4], np.int32)) == 0


def test_item_of_score_0_is_never_recommended() -> None:
    assert rank_among_unseen(np.array([0.0, 1.0, 0.0], np.float32), 2, np.array([], np.int32)) == 2


def test_a_seen_item_is_never_recommended() -> None:
    scores = np.array([9.0, 1.0], np.float32)
    assert rank_among_unseen(scores, 0, np.array([0], np.int32)) == 1


def test_histories_keep_each_item_once_newest_last() -> None:
    histories = PlayedHistories()
    for item in (1, 2, 3, 1):
        histories.add(0, item)
    assert histories.last(0, 2).tolist() == [1, 3]
    assert histories.seen(0).tolist() == [2, 3, 1]
    assert histories.last(9, 2).tolist() == []


def test_covisitation_beats_popularity_on_co_visited_items() -> None:
    source = random.Random(3)
    popularity, covisitation = Popularity(40), Covisitation(40)
    hits = {"popularity": 0, "covisitation": 0}
    for number in range(3000):
        user = number // 10
        item = 10 * (user % 4) + source.randrange(10)
        hits["popularity"] += popularity.rank(user, item) < 5
        hits["covisitation"] += covisitation.rank(user, item) < 5
        popularity.learn(user, item, number)
        covisitation.learn(user, item, number)
    assert hits["covisitation"] > 1.5 * hits["popularity"]
