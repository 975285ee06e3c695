"""Item vectors: Adam per row, content, growth, scenarios."""

import pytest
import torch

from eddy.contract.model import DIM
from eddy_trainer.core.content import VOCABULARY, Vocabulary
from eddy_trainer.core.embedding_table import BETAS, EmbeddingTable


def a_table(items: int, seed: int = 0) -> EmbeddingTable:
    table = EmbeddingTable(torch.Generator().manual_seed(seed))
    for number in range(items):
        table.describe(f"i{number}", [f"c{number % 2}"], {})
    return table


def test_apply_gradient_is_adam_on_the_given_rows() -> None:
    table = a_table(5)
    rows = torch.tensor([1, 3])
    reference = torch.nn.Parameter(table.embedding(rows).detach().clone())
    optimiser = torch.optim.Adam([reference], lr=0.01, betas=BETAS)
    untouched = table.embedding(torch.tensor([0, 2, 4, 5])).detach().clone()
    for step in range(5):
        gradient = torch.randn(2, DIM, generator=torch.Generator().manual_seed(step))
        reference.grad = gradient.clone()
        optimiser.step()
        table.apply_gradient(rows, gradient, 0.01)
    torch.testing.assert_close(table.embedding(rows).detach(), reference.detach())
    assert torch.equal(table.embedding(torch.tensor([0, 2, 4, 5])).detach(), untouched)


def test_vectors_have_length_one_and_padding_is_zero() -> None:
    lengths = a_table(4).all_vectors().norm(dim=1)
    torch.testing.assert_close(lengths, torch.tensor([0.0, 1, 1, 1, 1]))


def test_new_items_of_equal_content_are_close_once_content_is_trained() -> None:
    table = a_table(0)
    table.projection.data *= 20
    for number in range(4):
        table.describe(f"i{number}", [f"c{number % 2}"], {})
    vectors = table.all_vectors()
    assert vectors[1] @ vectors[3] > 0.9
    assert abs(vectors[1] @ vectors[2]) < 0.5


def test_growth_changes_no_row() -> None:
    table = a_table(1000)
    before = table.all_vectors()
    for number in range(1000, 1500):
        table.row(f"i{number}")
    assert torch.equal(table.all_vectors()[:1001], before)
    assert (len(table), len(set(table.ids)), table.row("i1400")) == (1501, 1501, 1401)


def test_state_restores_rows_beyond_the_first_capacity() -> None:
    table = a_table(1300)
    table.apply_gradient(torch.tensor([2, 1300]), torch.ones(2, DIM), 0.1)
    other = EmbeddingTable(torch.Generator())
    other.restore(table.state())
    assert torch.equal(other.all_vectors(), table.all_vectors())
    assert other.row("i1299") == 1300


@pytest.mark.parametrize(
    ("first", "second", "same"), [("1994", "1995", True), ("1995", "2001", False), ("7", "900", False)]
)
def test_years_share_a_decade_and_numbers_a_magnitude(first: str, second: str, same: bool) -> None:
    vocabulary = Vocabulary()
    slots = [vocabulary.slots([], {"year": value}) for value in (first, second)]
    assert (slots[0] == slots[1]) is same


def test_names_are_compared_without_regard_to_case_and_composition_also_with_those_of_former_checkpoints() -> None:
    vocabulary = Vocabulary(["category=Crime", "category=Cafe\u0301"])
    assert [index for index in vocabulary.slots(["CRIME", "caf\u00e9", "crime"], {}) if index] == [1, 2]
    assert vocabulary.names == ["category=Crime", "category=Cafe\u0301"]


def test_a_full_vocabulary_gives_no_index() -> None:
    vocabulary = Vocabulary([f"x{number}" for number in range(VOCABULARY - 1)])
    assert not any(vocabulary.slots(["new"], {}))


def test_items_belong_to_named_scenarios_and_to_those_with_interactions() -> None:
    table = a_table(2)  # rows 1 and 2 are everywhere
    table.describe("named", [], {}, [3])
    unnamed = table.row("unnamed")
    assert [table.rows_of_scenario(scenario).tolist() for scenario in (0, 3)] == [[1, 2], [1, 2, 3]]
    table.record_interactions([unnamed], 0)
    assert table.rows_of_scenario(0).tolist() == [1, 2, unnamed]
    table.describe("unnamed", ["another category"], {}, [])
    assert table.rows_of_scenario(0).tolist() == [1, 2, unnamed]
    table.describe("named", [], {}, [0, 5])
    assert [table.rows_of_scenario(scenario).tolist() for scenario in (0, 3, 5)] == [
        [1, 2, 3, unnamed],
        [1, 2],
        [1, 2, 3],
    ]
    for number in range(2000):
        table.row(f"more {number}")
    other = EmbeddingTable(torch.Generator())
    other.restore(table.state())
    assert other.rows_of_scenario(0).tolist() == [1, 2, 3, unnamed]
