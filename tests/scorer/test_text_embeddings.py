"""A query matches items by meaning, without common words. Items are embedded from the first query on."""

import numpy as np
import pytest

from eddy.contract.codec import Record
from eddy.text import PACKAGED, TextModel
from eddy_scorer.core.ranking.recommender import Recommender
from tests.scorer.factories import item, item_features, item_ids_of, recommend, request, scenarios

TITLES = {
    "android": ("A film about a robot who falls in love", ["Sci-Fi"]),
    "orbit": ("Astronauts lost around Jupiter", ["Sci-Fi"]),
    "pasta": ("Cooking pasta with grandmother", ["Cooking"]),
    "bread": ("Baking sourdough bread at home", ["Cooking"]),
    "derby": ("The football cup final", ["Sport"]),
}


@pytest.fixture(scope="module")
def texts() -> TextModel | None:
    return TextModel.load(PACKAGED)


def library(texts: TextModel | None) -> Recommender:
    engine = Recommender(scenarios(), np.random.default_rng(0), lambda: 0.0, texts=texts)
    for name, (title, categories) in TITLES.items():
        engine.apply_item(item(name, title=title, categories=categories, text=None, attributes={}))
    engine.state.rebuild()
    return engine


def slate_of(engine: Recommender, query: str, limit: int = 2) -> Record:
    (record,) = recommend(engine, request("u", query=query, limit=limit))
    return record


def test_items_are_embedded_from_the_first_query_on(texts: TextModel | None) -> None:
    engine = library(texts)
    recommend(engine, request("u"))
    assert engine.state.text_embeddings.due(0) is None
    slate_of(engine, "recipes for dinner")
    assert engine.state.text_embeddings.due(0) is not None
    engine.state.refresh()
    assert engine.state.text_embeddings.due(0) is None


def test_query_matches_by_meaning(texts: TextModel | None) -> None:
    engine = library(texts)
    slate_of(engine, "warming up")
    engine.state.refresh()
    for query, expected in (("recipes for dinner", {"pasta", "bread"}), ("spaceship and planets", {"orbit"})):
        names = item_ids_of(slate_of(engine, query))
        assert set(names[: len(expected)]) == expected
    record = slate_of(engine, "recipes for dinner")
    assert {entry["source"] for entry in record["items"]} <= {"query", "random"}


def test_shared_words_come_before_meaning(texts: TextModel | None) -> None:
    engine = library(texts)
    slate_of(engine, "warming up")
    engine.state.refresh()
    assert item_ids_of(slate_of(engine, "football", limit=1)) == ["derby"]


def test_without_a_language_model_words_decide_alone() -> None:
    engine = library(None)
    assert item_ids_of(slate_of(engine, "football", limit=1)) == ["derby"]
    assert len(item_ids_of(slate_of(engine, "recipes for dinner", limit=5))) == 5


def test_meaning_comes_before_a_minority_of_words(texts: TextModel | None) -> None:
    engine = library(texts)
    slate_of(engine, "warming up")
    engine.state.refresh()
    assert item_ids_of(slate_of(engine, "a meal that was made by the family", limit=1)) == ["pasta"]


def test_unchanged_texts_are_not_embedded_again_and_new_items_come_first(texts: TextModel | None) -> None:
    """A catalogue that is sent again, then one new item: it is found by meaning after one step."""
    engine = library(texts)
    slate_of(engine, "warming up")
    engine.state.refresh()
    for number in range(40):
        engine.apply_item(item(f"filler{number}", title=f"Part number {number}"))
    embeddings = engine.state.text_embeddings
    assert embeddings.pending == 40
    while embeddings.pending:
        engine.state.refresh()
    for number in range(40):
        engine.apply_item(item(f"filler{number}", title=f"Part number {number}", categories=[], available=True))
    assert embeddings.pending == 0
    for number in range(40):
        engine.apply_item(item(f"filler{number}", title=f"Piece number {number}"))
    engine.apply_item(item("new", title="A musician dies on stage"))
    assert embeddings.pending == 41
    engine.state.refresh()
    assert item_ids_of(slate_of(engine, "death of a violinist", limit=1)) == ["new"]


def test_a_query_in_a_script_unknown_to_the_model_matches_by_words_alone(texts: TextModel | None) -> None:
    engine = Recommender(scenarios(), np.random.default_rng(0), lambda: 0.0, texts=texts)
    for number in range(40):
        engine.apply_item(item(f"other{number}", title=f"上海博物馆{number}"))
    for number in range(3):
        engine.apply_item(item(f"match{number}", title=f"北京酒店{number}"))
    engine.state.rebuild()
    for _ in range(3):  # before and after the items are embedded
        assert set(item_ids_of(slate_of(engine, "北京酒店", limit=10))) == {"match0", "match1", "match2"}
        engine.state.refresh()


def test_query_matches_items_of_its_scenario_only(texts: TextModel | None) -> None:
    engine = Recommender(scenarios(), np.random.default_rng(0), lambda: 0.0, texts=texts)
    for number in range(60):
        engine.apply_item(item(f"shop{number}", title=f"Pasta pan number {number}", scenarios=["shop"]))
    for number in range(5):
        engine.apply_item(item(f"video{number}", title=f"A film about the sea {number}", scenarios=["video"]))
    engine.state.rebuild()
    for _ in range(4):  # before and after the items are embedded
        assert len(item_ids_of(slate_of(engine, "dinner recipe spaghetti pan", limit=5))) == 5
        engine.state.refresh()


def test_items_with_every_word_of_the_query_come_first() -> None:
    engine = library(None)
    for name in ("android", "orbit", "pasta", "bread"):
        engine.apply_item_features(item_features(name, acted=100.0))
    engine.state.rebuild()
    assert item_ids_of(slate_of(engine, "the football cup", limit=3))[0] == "derby"
