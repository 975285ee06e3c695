"""The rating model: its features do not depend on the event or on later ones, it learns, and its gates start at 1."""

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
    """Half of the users like items with even numbers, the others those with odd numbers."""
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


def inverted_from(data: Dataset, event: int) -> Dataset:
    """The same data, with the ratings from `event` on inverted."""
    values = data.values.copy()
    values[event:] = 6 - values[event:]
    return replace(data, values=values)


def test_features_have_names(data: Dataset) -> None:
    x = features(data, np.ones(EVENTS, bool))
    assert x.shape == (EVENTS, len(NAMES))
    assert np.isfinite(x).all()


@pytest.mark.parametrize("event", [0, 1, 700, EVENTS - 1])
def test_features_do_not_depend_on_the_event_or_on_later_ones(data: Dataset, event: int) -> None:
    first, second = (features(each, np.ones(EVENTS, bool)) for each in (data, inverted_from(data, event)))
    assert np.array_equal(first[: event + 1], second[: event + 1])
    if event + 1 < EVENTS:
        assert not np.array_equal(first, second)


def test_features_do_not_depend_on_unrecorded_events(data: Dataset) -> None:
    recorded = np.arange(EVENTS) < 900
    first, second = (features(each, recorded) for each in (data, inverted_from(data, 900)))
    assert np.array_equal(first, second)


def test_features_match_their_definitions(data: Dataset) -> None:
    x = features(data, np.ones(EVENTS, bool))
    event = 1000
    before = slice(0, event)
    overall = (5 * 3.0 + data.values[before].sum()) / (5 + event)
    of_item = data.values[before][data.items[before] == data.items[event]]
    assert x[event, NAMES.index("item mean")] == pytest.approx(
        (of_item.sum() + 5 * overall) / (len(of_item) + 5), rel=1e-4
    )
    count = min((data.users[before] == data.users[event]).sum(), 100)
    assert x[event, NAMES.index("user ratings")] == pytest.approx(np.log1p(count), rel=1e-5)


def test_preferences_are_learned_from_neighbours(data: Dataset) -> None:
    x = features(data, np.ones(EVENTS, bool))
    labels = data.values >= 4
    assert auc(x[700:, NAMES.index("neighbours")], labels[700:]) > 0.9
    assert auc(x[700:, NAMES.index("item mean")], labels[700:]) < 0.6
    events = RatedEvents(x, data.items.astype(np.int64), data.users.astype(np.int64) % 3, data.values)
    parts = np.arange(900), np.arange(900, 1100), np.arange(1100, EVENTS)
    for scenarios in (0, 3):
        logits = fit(events, ITEMS, *parts, scenarios, FitPolicy(batch=100), 0)
        assert auc(logits, labels[1100:]) > 0.95


def test_gates_start_at_one() -> None:
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
    probabilities = validate(data, x, seed=0)
    assert probabilities.shape == (EVENTS, 5)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert probabilities.min() >= 0
    inverted = validate(inverted_from(data, 640), x, seed=0)
    assert np.array_equal(probabilities[:640], inverted[:640])
    assert not np.array_equal(probabilities[704:], inverted[704:])


def test_the_predicted_rating_is_between_median_and_mean() -> None:
    probabilities = np.array([[0.6, 0, 0, 0, 0.4]], np.float32)
    assert decide(probabilities, 0.0).tolist() == [1.0]
    assert decide(probabilities, 1000.0)[0] == pytest.approx(2.6, abs=0.03)
    assert 1.0 < decide(probabilities, 1.0)[0] < 2.6


def test_auc_counts_pairs_and_halves_ties() -> None:
    scores, labels = np.array([0.1, 0.4, 0.4, 0.9]), np.array([False, False, True, True])
    pairs = [
        (positive > negative) + 0.5 * (positive == negative)
        for positive in scores[labels]
        for negative in scores[~labels]
    ]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))
    assert log_losses(np.zeros(4), labels) == pytest.approx(np.full(4, np.log(2)))


def test_intervals_contain_the_figure_and_are_wider_for_fewer_users() -> None:
    random = np.random.default_rng(0)
    labels = random.random(2000) < 0.5
    # Scores of the same user correlate: each user's labels are predicted with a precision of their own.
    precision = np.repeat(random.random(20) * 4, 100)
    scores = precision * labels + random.normal(0, 1.5, 2000)
    many_users, few_users = ((np.arange(2000) // size).astype(np.int32) for size in (1, 100))
    bounds = [intervals(scores, labels, users, 0)["auc"] for users in (many_users, few_users)]
    assert all(low < auc(scores, labels) < high for low, high in bounds)
    widths = [high - low for low, high in bounds]
    assert widths[1] > 1.3 * widths[0]


def test_each_benchmark_of_ratings_beats_its_reference(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    ages = {user: (20, 30, 40)[number % 3] for number, user in enumerate(data.user_ids)}
    methods = {}
    for benchmark in (ctr, domains, ratings):
        monkeypatch.setattr(benchmark, "load", lambda *_: replace(data, ages=ages))
        first, second = (benchmark.run(OPTIONS, Console(file=StringIO())) for _ in range(2))
        assert (first.methods, first.details) == (second.methods, second.details)
        methods[benchmark] = first.methods
    assert methods[ctr]["model"]["auc"] > max(0.6, methods[ctr]["logistic MF"]["auc"])
    assert methods[ratings]["model"]["mae"] < methods[ratings]["mean of all ratings"]["mae"]
    for split in ("time", "random"):
        assert methods[domains][f"{split}: joint"]["auc"] > 0.6
        assert methods[domains][f"{split}: solo"].keys() == {"auc", "auc 1-24", "auc 25-34", "auc 35+"}


@pytest.mark.parametrize(
    ("benchmark", "change", "message"),
    [
        (ctr, {"has_value": np.zeros(EVENTS, bool)}, "tiny has 1,500 events without a rating"),
        (ratings, {"has_value": np.arange(EVENTS) > 0}, "tiny has 1 events without a rating"),
        (
            ctr,
            {"values": np.full(EVENTS, 5, np.float32)},
            "tiny needs ratings both below 4 and from 4 on in its training part",
        ),
        (domains, {"ages": dict.fromkeys((f"u{number}" for number in range(USERS)), 30)}, "tiny, 1-24, needs ratings"),
        (domains, {"ages": {"u0": 20}}, "tiny has no age of user u1"),
        (ctr, {"item_ids": [f"i{number}" for number in range(20_000)]}, "tiny has 20,000 items"),
    ],
)
def test_unusable_ratings_are_refused(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, benchmark: ModuleType, change: dict[str, Any], message: str
) -> None:
    monkeypatch.setattr(benchmark, "load", lambda *_: replace(data, **change))
    with pytest.raises(ConfigError, match=message):
        benchmark.run(OPTIONS, Console(file=StringIO()))
