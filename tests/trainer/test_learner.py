"""The learner as a whole: judged before it learns, decided by its inputs, frugal when told to be."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eddy.contract.scenarios import load_scenarios
from eddy.paths import REPO_ROOT
from eddy.text import TEXT_DIM, TextVectors
from eddy_trainer.core.effort import Effort
from eddy_trainer.core.encoder_training import EncoderPolicy
from eddy_trainer.core.examples import ImpressionExample, NextItemExample
from eddy_trainer.core.learner import ItemContent, Learner, LearnerPolicy, Rollback
from eddy_trainer.core.quality import QUALITY_WINDOW
from eddy_trainer.core.ranking_memory import MAX_IMPRESSIONS
from eddy_trainer.core.release_gate import HELD, LOG_LOSS
from tests.trainer.factories import (
    CLICK,
    SCENARIOS,
    VIDEO,
    a_stream,
    features,
    learner,
    next_item,
    reverse_ranker,
    shown,
)

pytestmark = pytest.mark.slow

SHOP = SCENARIOS["shop"].id


def test_equal_seeds_and_inputs_give_equal_weights() -> None:
    made = []
    for seed in (0, 0, 1):
        one = learner(seed=seed)
        for start in range(3):
            one.observe(a_stream(60, seed=start))
            one.step()
        made.append(one.snapshot())
    assert (made[0].vectors == made[1].vectors).all()
    assert all(torch.equal(made[0].ranker[name], made[1].ranker[name]) for name in made[0].ranker)
    assert not (made[0].vectors == made[2].vectors).all()


def test_examples_are_judged_before_they_are_learned_from() -> None:
    one = learner()
    one.observe(a_stream(100))
    before = one.next_item_window.compare()
    assert before.count == 100
    assert before.candidate == before.serving
    one.step()
    assert one.next_item_window.compare() == before


def test_the_serving_model_is_what_was_released_last() -> None:
    one = learner()
    one.set_serving(one.snapshot())
    for turn in range(12):
        one.observe([next_item("u", "i1", turn, 0, _first_is_best(turn + seed)) for seed in range(50)])
        one.step()
    seen = one.next_item_window.compare()
    assert seen.candidate < seen.serving - 0.1


def _settled(turns: int, **kinds: int) -> Learner:
    """A learner that has released after each of so many easy turns, and never went astray."""
    one = learner()
    for turn in range(turns):
        one.observe(_easy(turn, **kinds))
        one.step()
        one.set_serving(one.snapshot(), turn)
        assert not one.regressed()
    return one


@pytest.mark.parametrize("lists", [20, 3])
def test_a_release_that_went_wrong_is_rolled_back_to_one_that_proved_good(lists: int) -> None:
    one = _settled(100, lists=lists)
    good = one.label_window.compare().candidate
    reverse_ranker(one)
    for turn in range(100, 300):
        one.set_serving(one.snapshot(), turn)
        one.observe(_easy(turn, lists=lists))
        if one.regressed():
            break
    bad = one.label_window.compare().candidate
    back = one.roll_back()
    assert (back.reason, 0 < back.version < 100) == (LOG_LOSS, True)
    assert not one.regressed()
    one.observe(_easy(300))
    assert one.label_window.compare().candidate < (good + bad) / 2


def test_a_ranker_that_never_served_goes_back_to_the_one_that_does() -> None:
    one = _settled(100)
    reverse_ranker(one)
    for turn in range(100, 300):
        one.observe(_easy(turn))
        if one.regressed():
            break
    assert one.roll_back() == Rollback(HELD, 99)


def test_a_release_that_was_bad_for_a_while_does_not_prove_good() -> None:
    one = _settled(100)
    good = one.snapshot()
    proved: set[int] = set()
    for turn in range(100, 160):
        if turn in (110, 120, 130):
            reverse_ranker(one)
            one.set_serving(one.snapshot(), 1000 + turn)
            reverse_ranker(one)
        one.set_serving(good, turn)
        one.observe(_easy(turn))
        if one._last_good.release is not None:
            proved.add(one._last_good.release.version)
    assert max(proved) < 1000


def test_labels_that_are_all_negative_for_a_while_are_learned_and_not_rolled_back() -> None:
    one = learner()
    for turn in range(120):
        ignored = [replace(each, actions=(-1,) * 8) for each in _easy(turn) if isinstance(each, ImpressionExample)]
        chosen = [each for each in _easy(turn) if isinstance(each, NextItemExample)]
        one.observe([*ignored, *chosen] if 60 <= turn < 90 else _easy(turn))
        one.step()
        one.set_serving(one.snapshot(), turn)
        assert not one.regressed()


def test_a_scenario_is_judged_for_itself() -> None:
    one = learner()
    one.set_serving(one.snapshot())
    shown = [example for example in _easy(0) if isinstance(example, ImpressionExample)]
    one.observe([example if turn % 2 else replace(example, scenario=SHOP) for turn, example in enumerate(shown)])
    found = one.scenario_windows.compare()
    assert found.keys() == {"video", "shop"}
    assert sum(each.count for each in found.values()) == one.label_window.compare().count


def test_without_replay_steps_are_left_out_and_counted() -> None:
    one = learner()
    one.observe(a_stream(300))
    report = one.step(Effort.NO_REHEARSAL)
    assert (report.encoder_steps, report.shed_steps) == (1, 2)
    assert one.untrained == 0


def test_an_unknown_user_begins_with_the_history_of_the_example() -> None:
    one = learner()
    past = tuple(next_item("u", f"i{number}", number).event for number in range(3))
    for item in ("i7", "i8"):
        example = next_item("u", item, 99)
        one.observe([NextItemExample("u", example.event, past, example.features, -1)])
    windows = one.encoder.sequences.windows(np.array([0]))
    names = [one.encoder.table.ids[row] for row in windows.targets[0]]
    assert names == ["i0", "i1", "i2", "i7", "i8"]


def test_labels_alone_are_learned_from() -> None:
    one = learner()
    one.observe([example for example in a_stream(100) if not isinstance(example, NextItemExample)])
    report = one.step()
    assert (report.encoder_steps, report.ranker_steps > 0) == (0, True)


def test_what_an_item_says_about_itself_may_change() -> None:
    one = learner(items=2)
    before = one.snapshot().vectors
    one.admit([ItemContent("i0", ["something else"])])
    after = one.snapshot().vectors
    assert (before[2] == after[2]).all()
    assert not (before[1] == after[1]).all()


def test_weights_know_whether_they_are_numbers() -> None:
    one = learner()
    assert one.snapshot().finite()
    one.encoder.encoder.scale.data[3] = float("nan")
    assert not one.snapshot().finite()


def _easy(turn: int, lists: int = 20) -> list[ImpressionExample | NextItemExample]:
    """Twenty shown lists of which the first item is clicked, and for so many the same item chosen next: a feature tells it."""
    made: list[ImpressionExample | NextItemExample] = []
    for number in range(20):
        rows = _first_is_best(1000 * turn + number)
        made.append(ImpressionExample("label", VIDEO, rows, tuple(range(8)), (CLICK, *[-1] * 7)))
        if number < lists:
            made.append(next_item(f"u{number}", f"i{number}", 1000 * turn + number, 0, rows))
    return made


def _first_is_best(seed: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float16]]":
    candidates = features(8, seed)
    candidates[0, 3] = 4.0
    return candidates


def test_a_superseded_list_is_not_ranked_but_its_event_is_the_next_item() -> None:
    one = learner()
    fresh, old = next_item("u", "i1", 1, 0, _first_is_best(1)), next_item("v", "i2", 1, 0, _first_is_best(2))
    one.observe([fresh, replace(old, superseded=True)])
    assert one.next_item_window.compare().count == 1
    assert one.encoder.untrained_events == 2


class Reader:
    """Reads a word as a direction of its own."""

    def __init__(self, name: str = "reader") -> None:
        self.name = name

    def embed(self, texts: Sequence[str]) -> TextVectors:
        found = np.zeros((len(texts), TEXT_DIM), np.float32)
        for line, text in enumerate(texts):
            found[line, len(text)] = float(bool(text))
        return found


def test_an_item_is_known_by_its_words_before_anybody_acted_on_it() -> None:
    """Items of two words; who takes one of a kind takes another of it. A new item lies with those of its word."""
    one = Learner(SCENARIOS, LearnerPolicy(encoder=EncoderPolicy(rate=0.02)), Reader())
    one.admit([ItemContent(f"i{number}", words=("aa", "bbbb")[number % 2]) for number in range(40)])
    assert one.pending_texts == 40
    one.embed_texts(30)
    assert one.pending_texts == 10
    restored = Learner(SCENARIOS, LearnerPolicy(encoder=EncoderPolicy(rate=0.02)), Reader())
    restored.restore(one.state())
    restored.embed_texts()
    assert restored.pending_texts == 0
    for turn in range(30):
        restored.observe(
            [next_item(f"u{user}", f"i{(2 * user + 2 * turn) % 40 + user % 2}", turn * 1000) for user in range(60)]
        )
        restored.step()
    restored.admit([ItemContent("new a", words="aa"), ItemContent("new b", words="bbbb")])
    restored.embed_texts()
    table = restored.encoder.table
    vectors = dict(zip(table.ids, table.all_vectors(), strict=True))
    for new, kind in (("new a", 0), ("new b", 1)):
        likeness = [
            float(sum(vectors[new] @ vectors[f"i{number}"] for number in range(word, 40, 2))) for word in (0, 1)
        ]
        assert likeness[kind] > likeness[1 - kind]


def test_items_that_come_before_the_next_step_can_be_drawn() -> None:
    made = learner(items=10, full_softmax_items=0)
    made.observe([next_item("u", "i1", 1), next_item("u", "i2", 2)])
    made.admit([ItemContent(f"new{number}", []) for number in range(500)])
    assert made.step().encoder_steps > 0


def test_words_are_read_again_by_another_language_model_and_forgotten_when_they_are_gone() -> None:
    one = Learner(SCENARIOS, LearnerPolicy(), Reader())
    one.admit([ItemContent("i", words="aa"), ItemContent("waiting", words="bb")])
    one.embed_texts(1)
    for texts, again in ((Reader(), False), (Reader("another"), True), (None, True)):
        restored = Learner(SCENARIOS, LearnerPolicy(), texts)
        restored.restore(one.state())
        assert restored.items_outdated == again
        assert restored.encoder.table.has_text_vector("i") != again
        assert restored.pending_texts == (0 if again else 1)
    one.admit([ItemContent("i", words="")])
    one.embed_texts()
    assert not one.encoder.table.has_text_vector("i")


def test_an_item_that_names_a_scenario_is_in_it_also_where_that_comes_later(tmp_path: Path) -> None:
    shipped = REPO_ROOT / "scenarios.yaml"
    scenarios = load_scenarios(shipped)
    one = Learner(scenarios, LearnerPolicy())
    one.admit([ItemContent("here", scenarios=["video", "podcasts"]), ItemContent("moved", scenarios=["podcasts"])])
    one.admit([ItemContent("anywhere"), ItemContent("moved", scenarios=["video"])])
    more = tmp_path / "scenarios.yaml"
    actions = "{impression: {weight: 0}, play: {weight: 1}}"
    more.write_text(f"{shipped.read_text()}\n  podcasts: {{id: 15, actions: {actions}, attribution_window_sec: 60}}\n")
    restored = Learner(load_scenarios(more), LearnerPolicy())
    restored.restore(one.state())
    scenarios.adopt(load_scenarios(more))
    for known in (one, restored):
        table = known.encoder.table
        assert [[table.ids[row] for row in table.rows_of_scenario(scenario)] for scenario in (0, 15, 3)] == [
            ["here", "moved", "anywhere"],
            ["here", "anywhere"],
            ["anywhere"],
        ]


def test_more_labels_than_the_memory_holds_may_come_at_once() -> None:
    one = learner(3)
    lists = [shown(1000, positive=3, seed=seed) for seed in range(MAX_IMPRESSIONS // 1000 + 2)]
    one.observe([replace(lists[0], kind="upgrade"), *lists])
    assert len(one.quality._scenarios[VIDEO].actions) == QUALITY_WINDOW
    one.step()
    assert one.snapshot().finite()
