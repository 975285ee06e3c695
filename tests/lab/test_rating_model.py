"""Features of the moment know nothing of the event or of what comes after it; the model of them learns, and its gates begin at one."""

from dataclasses import replace
from io import StringIO
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from eddy.errors import ConfigError
from eddy_cli.datasets import CatalogueItem, Dataset
from eddy_lab.evaluate.benchmarks import ctr, domains, ratings
from eddy_lab.evaluate.benchmarks.ratings import decide, validate
from eddy_lab.evaluate.labels import auc, intervals, log_losses
from eddy_lab.evaluate.rating_model.features import NAMES, features
from eddy_lab.evaluate.rating_model.model import FitPolicy, RatedEvents, RatingModel, fit
from tests.lab.test_benchmarks import OPTIONS

pytestmark = pytest.mark.slow

USERS, ITEMS, EVENTS = 30, 20, 1500


@pytest.fixture
def data() -> Dataset:
    """Users who like even items, and users who like odd ones."""
    random = np.random.default_rng(0)
    users, items = random.integers(0, USERS, EVENTS), random.integers(0, ITEMS, EVENTS)
    liked = (users + items) % 2 == 0
    values = np.where(liked, random.integers(4, 6, EVENTS), random.integers(1, 4, EVENTS))
    return Dataset(
        name="tiny",
        user_ids=[f"u{number}" for number in range(USERS)],
        item_ids=[f"i{number}" for number in range(ITEMS)],
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        values=values.astype(np.float32),
        times_ms=np.cumsum(random.integers(0, 3, EVENTS)) * 1000,
        catalogue=[
            CatalogueItem(f"i{number}", genres=("even" if number % 3 else "odd",), year=1990) for number in range(ITEMS)
        ],
    )


def test_features_have_names(data: Dataset) -> None:
    found = features(data, np.ones(EVENTS, bool))
    assert found.shape == (EVENTS, len(NAMES))
    assert np.isfinite(found).all()


@pytest.mark.parametrize("event", [0, 1, 700, EVENTS - 1])
def test_an_event_and_what_follows_are_unknown_to_its_features(data: Dataset, event: int) -> None:
    other = data.values.copy()
    other[event:] = 6 - other[event:]
    one, two = (features(replace(data, values=values), np.ones(EVENTS, bool)) for values in (data.values, other))
    assert np.array_equal(one[: event + 1], two[: event + 1])
    if event + 1 < EVENTS:
        assert not np.array_equal(one, two)


def test_what_leaves_no_trace_changes_nothing(data: Dataset) -> None:
    known = np.arange(EVENTS) < 900
    other = data.values.copy()
    other[900:] = 6 - other[900:]
    one, two = (features(replace(data, values=values), known) for values in (data.values, other))
    assert np.array_equal(one, two)


def test_counters_are_what_their_names_say(data: Dataset) -> None:
    found = features(data, np.ones(EVENTS, bool))
    event = 1000
    before = slice(0, event)
    overall = (5 * 3.0 + data.values[before].sum()) / (5 + event)
    of_item = data.values[before][data.items[before] == data.items[event]]
    assert found[event, NAMES.index("item mean")] == pytest.approx(
        (of_item.sum() + 5 * overall) / (len(of_item) + 5), rel=1e-4
    )
    count = min((data.users[before] == data.users[event]).sum(), 100)
    assert found[event, NAMES.index("ratings")] == pytest.approx(np.log1p(count), rel=1e-5)


def test_who_likes_what_is_learned_from_neighbours(data: Dataset) -> None:
    found = features(data, np.ones(EVENTS, bool))
    labels = data.values >= 4
    assert auc(found[700:, NAMES.index("neighbours")], labels[700:]) > 0.9
    assert auc(found[700:, NAMES.index("item mean")], labels[700:]) < 0.6
    events = RatedEvents(found, data.items.astype(np.int64), data.users.astype(np.int64) % 3, data.values)
    parts = np.arange(900), np.arange(900, 1100), np.arange(1100, EVENTS)
    for scenarios in (0, 3):
        answers = fit(events, ITEMS, *parts, scenarios, FitPolicy(batch=100), 0)
        assert auc(answers, labels[1100:]) > 0.95


def test_gates_begin_at_one() -> None:
    torch.manual_seed(0)
    gated = RatingModel(5, 7, (4,), scenarios=3)
    plain = RatingModel(5, 7, (4,))
    plain.load_state_dict({name: value for name, value in gated.state_dict().items() if name in plain.state_dict()})
    torch.nn.init.normal_(gated.last.weight)
    plain.last.load_state_dict(gated.last.state_dict())
    x, items, scenarios = torch.randn(6, 5), torch.arange(6), torch.arange(6) % 3
    torch.testing.assert_close(gated(x, items, scenarios), plain(x, items, scenarios))
    torch.nn.init.normal_(gated.input_gate.weight)
    assert not torch.allclose(gated(x, items, scenarios), plain(x, items, scenarios))


def test_ratings_are_predicted_before_they_are_learned(data: Dataset) -> None:
    x = features(data, np.ones(EVENTS, bool))
    chances = validate(data, x, seed=0)
    assert chances.shape == (EVENTS, 5)
    np.testing.assert_allclose(chances.sum(axis=1), 1, rtol=1e-5)
    assert chances.min() >= 0
    other = data.values.copy()
    other[640:] = 6 - other[640:]
    again = validate(replace(data, values=other), x, seed=0)
    assert np.array_equal(chances[:640], again[:640])
    assert not np.array_equal(chances[704:], again[704:])


def test_the_answer_is_the_median_or_near_the_mean() -> None:
    chances = np.array([[0.6, 0, 0, 0, 0.4]], np.float32)
    assert decide(chances, 0.0).tolist() == [1.0]
    assert decide(chances, 1000.0)[0] == pytest.approx(2.6, abs=0.03)
    assert 1.0 < decide(chances, 1.0)[0] < 2.6


def test_auc_counts_pairs_and_halves_ties() -> None:
    scores, labels = np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True])
    pairs = [(one > other) + 0.5 * (one == other) for one in scores[labels] for other in scores[~labels]]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert log_losses(np.zeros(4), labels) == pytest.approx(np.full(4, np.log(2)))


def test_intervals_hold_the_figure_and_are_wider_for_fewer_users() -> None:
    random = np.random.default_rng(0)
    labels = random.random(2000) < 0.5
    # What users have in common: each tells with a sharpness of their own.
    sharp = np.repeat(random.random(20) * 4, 100)
    scores = sharp * labels + random.normal(0, 1.5, 2000)
    own, few = ((np.arange(2000) // size).astype(np.int32) for size in (1, 100))
    found = [intervals(scores, labels, users, 0)["auc"] for users in (own, few)]
    assert all(low < auc(scores, labels) < high for low, high in found)
    widths = [high - low for low, high in found]
    assert widths[1] > 1.3 * widths[0]


def test_each_protocol_of_ratings_beats_what_it_stands_beside(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    aged = replace(data, ages={user: (20, 30, 40)[number % 3] for number, user in enumerate(data.user_ids)})
    found = {}
    for protocol in (ctr, domains, ratings):
        monkeypatch.setattr(protocol, "load", lambda *_: aged)
        one, again = (protocol.run(OPTIONS, Console(file=StringIO())) for _ in range(2))
        assert (one.methods, one.also) == (again.methods, again.also)
        found[protocol] = one.methods
    assert found[ctr]["model"]["auc"] > max(0.6, found[ctr]["logistic MF"]["auc"])
    assert found[ratings]["model"]["mae"] < found[ratings]["mean of all before"]["mae"]
    for split in ("time", "random"):
        assert found[domains][f"{split}: joint"]["auc"] > 0.6
        assert found[domains][f"{split}: solo"].keys() == {"auc", "auc 1-24", "auc 25-34", "auc 35+"}


@pytest.mark.parametrize(
    ("protocol", "change", "says"),
    [
        (ctr, {"said": np.zeros(EVENTS, bool)}, "tiny says no rating of 1,500 events"),
        (ratings, {"said": np.arange(EVENTS) > 0}, "tiny says no rating of 1 events"),
        (
            ctr,
            {"values": np.full(EVENTS, 5, np.float32)},
            "tiny needs ratings below 4 and from 4 on among those to learn by",
        ),
        (domains, {"ages": dict.fromkeys((f"u{number}" for number in range(USERS)), 30)}, "tiny, 1-24, needs ratings"),
        (domains, {"ages": {"u0": 20}}, "does not say how old user u1 is"),
        (ctr, {"item_ids": [f"i{number}" for number in range(20_000)]}, "tiny has 20,000 items"),
    ],
)
def test_what_a_protocol_of_ratings_cannot_use_is_said(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, protocol: ModuleType, change: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(protocol, "load", lambda *_: replace(data, **change))
    with pytest.raises(ConfigError, match=says):
        protocol.run(OPTIONS, Console(file=StringIO()))
