"""The packaged language model: what is near in meaning is near, and what is no model is refused in one line."""

from pathlib import Path

import numpy as np
import pytest

from shared.errors import ConfigError
from shared.text import PACKAGED, TEXT_DIM, TextModel, words_of


@pytest.fixture(scope="module")
def model() -> TextModel:
    loaded = TextModel.load(PACKAGED)
    assert loaded is not None
    return loaded


def test_near_in_meaning_is_near(model: TextModel) -> None:
    texts = ["a film about a robot in space", "science fiction with androids", "a cookbook for pasta", ""]
    space, androids, pasta, nothing = model.embed(texts)
    assert space @ androids > space @ pasta + 0.1
    assert np.linalg.norm(space) == pytest.approx(1, abs=1e-5)
    assert nothing.tolist() == [0.0] * TEXT_DIM


def test_an_order_or_company_changes_nothing_of_weight(model: TextModel) -> None:
    texts = [f"item number {number} " + "very " * number for number in range(40)]
    together, turned = model.embed(texts), model.embed(texts[::-1])[::-1]
    np.testing.assert_allclose(together, turned, atol=2e-2)


def test_nothing_is_nothing_and_a_wrong_folder_is_named(tmp_path: Path) -> None:
    assert TextModel.load("") is None
    with pytest.raises(ConfigError, match=str(tmp_path)):
        TextModel.load(str(tmp_path))


def test_words_are_title_categories_attributes_and_text() -> None:
    assert words_of("Heat", None, ["Crime", "Drama"], {"year": "1995"}) == "Heat. Crime, Drama. 1995"
    assert words_of("", "only text", [], {}) == "only text"
