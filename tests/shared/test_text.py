"""The text model: similar texts have close vectors, and invalid models are refused in one line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from eddy.errors import ConfigError
from eddy.text import PACKAGED, TEXT_DIM, TextModel, item_text

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> TextModel:
    loaded = TextModel.load(PACKAGED)
    assert loaded is not None
    return loaded


def test_similar_texts_have_close_vectors(model: TextModel) -> None:
    texts = ["a film about a robot in space", "science fiction with androids", "a cookbook for pasta", ""]
    space, androids, pasta, nothing = model.embed(texts)
    assert space @ androids > space @ pasta + 0.1
    assert np.linalg.norm(space) == pytest.approx(1, abs=1e-5)
    assert nothing.tolist() == [0.0] * TEXT_DIM


@pytest.mark.parametrize("text", ["北京酒店", "กรุงเทพ", "दिल्ली होटल", "Москва", "فندق القاهرة"])
def test_the_packaged_model_says_nothing_about_scripts_that_it_does_not_know(model: TextModel, text: str) -> None:
    assert not model.embed([text]).any()


def test_accents_in_any_form_and_few_foreign_letters_do_not_hide_a_text(model: TextModel) -> None:
    composed, decomposed, mixed = model.embed(["Café Zürich", "Cafe\u0301 Zu\u0308rich", "iPhone 手机壳"])
    assert composed @ decomposed == pytest.approx(1, abs=1e-5)
    assert mixed.any()


def test_embedding_is_independent_of_the_batch(model: TextModel) -> None:
    texts = [f"item number {number} " + "very " * number for number in range(40)]
    together, turned = model.embed(texts), model.embed(texts[::-1])[::-1]
    np.testing.assert_allclose(together, turned, atol=2e-2)


def test_no_text_model_and_a_wrong_folder(tmp_path: Path) -> None:
    assert TextModel.load("") is None
    with pytest.raises(ConfigError, match=str(tmp_path)):
        TextModel.load(str(tmp_path))


class _Words(torch.nn.Module):
    """A vector of its own for each word; of each token, or their mean."""

    def __init__(self, width: int, pooled: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.vectors = torch.nn.Embedding(len(WORDS), width)
        self.pooled = pooled

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        states: torch.Tensor = self.vectors(input_ids) * attention_mask[..., None]
        return states.sum(dim=1) / attention_mask.sum(dim=1, keepdim=True) if self.pooled else states


WORDS = ("[UNK]", "red", "shoe", "blue", "hat", "green", "coat")


@pytest.mark.parametrize("width", [8, TEXT_DIM, 1024])
@pytest.mark.parametrize("pooled", [False, True])
def test_other_sentence_embedding_model_works(tmp_path: Path, width: int, pooled: bool) -> None:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token=WORDS[0]))
    tokenizer.pre_tokenizer = Whitespace()  # type: ignore[assignment]  # as tokenizers documents it
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    model, sizes = _Words(width, pooled).eval(), dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC)
    example = (torch.ones(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.int64))
    torch.onnx.export(
        model,
        example,
        str(tmp_path / "model.onnx"),
        dynamo=True,
        dynamic_shapes=(sizes, sizes),
        input_names=["input_ids", "attention_mask"],
    )
    loaded = TextModel.load(str(tmp_path))
    assert loaded is not None
    vectors = loaded.embed(["red shoe", "blue shoe", "green coat", "red", ""])
    assert vectors.shape == (5, TEXT_DIM)
    np.testing.assert_allclose(np.linalg.norm(vectors[:4], axis=1), 1, rtol=1e-5)
    assert not vectors[4].any()
    with torch.no_grad():
        wide = model.vectors.weight[[WORDS.index("red"), WORDS.index("shoe")]].sum(dim=0), model.vectors.weight[1]
    cosine = torch.nn.functional.cosine_similarity(*wide, dim=0).item()
    assert vectors[0] @ vectors[3] == pytest.approx(cosine, abs=0.1 if width > TEXT_DIM else 1e-5)
    np.testing.assert_allclose(loaded.embed(["red"])[0], vectors[3], atol=1e-6)


def test_item_text_has_title_categories_attributes_and_description() -> None:
    assert item_text("Heat", None, ["Crime", "Drama"], {"year": "1995"}) == "Heat. Crime, Drama. 1995"
    assert item_text("", "only text", [], {}) == "only text"
