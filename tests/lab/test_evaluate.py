"""The loop in one process: decided by its inputs, books that balance, and a pattern that it learns."""

import random
from io import StringIO

import pytest
from rich.console import Console

from lab.evaluate.__main__ import Evaluation, evaluate
from lab.replay.stream import Stream
from services.trainer.graphs import GraphExporter
from shared.paths import REPO_ROOT
from tests.lab.streams import stream

ITEMS = 60
EVENTS = 2400


@pytest.fixture(scope="module")
def exporter() -> GraphExporter:
    return GraphExporter.trace()


def walks(seed: int) -> Stream:
    """Users come one after another; each walks through the items in order, from a place of their own, and stops halfway."""
    place, users, items = random.Random(seed), [], []
    for event in range(EVENTS):
        user = event // 30
        if event % 30 == 0:
            start = place.randrange(ITEMS)
        users.append(user)
        items.append((start + event % 30) % ITEMS)
    return stream(users, items, step_ms=60_000)


def evaluated(played: Stream, exporter: GraphExporter, seed: int = 0) -> Evaluation:
    return evaluate(played, exporter, seed, REPO_ROOT / "scenarios.yaml", Console(file=StringIO()))


def test_the_same_stream_and_seed_give_the_same_figures(exporter: GraphExporter) -> None:
    played = walks(0).cut(600)
    one, again, other = (evaluated(played, exporter, seed) for seed in (0, 0, 1))
    assert (one.quality, one.books) == (again.quality, again.books)
    assert one.quality != other.quality


def test_books_balance_and_a_walk_is_learned(exporter: GraphExporter) -> None:
    found = evaluated(walks(0), exporter)
    books = found.books
    assert books["shown"] == books["positive"] + books["negative"] + books["open"] == 10 * EVENTS
    assert books["refused"] == 0
    assert books["releases"] >= 5
    by_tenth = found.quality["model"]["ndcg_at_10_by_tenth"]
    assert by_tenth[-1] > 0.8
    assert found.quality["model"]["ndcg_at_10"] > found.quality["popularity"]["ndcg_at_10"]
