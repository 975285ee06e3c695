"""The learner as a whole: evaluation before training, determinism, rollback, shedding, and texts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from eddy.contract.scenarios import load_scenarios
from eddy.paths import REPO_ROOT
from eddy.text import TEXT_DIM, TextVectors
from eddy_trainer.core.budgets import UNBOUNDED
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
    impressions,
    invert_ranker,
    learner,
    next_item,
)

pytestmark = pytest.mark.slow

SHOP = SCENARIOS["shop"].id


def test_equal_seeds_and_inputs_give_equal_weights() -> None:
    made = []
    for seed in (0, 0, 1):
        trainee = learner(seed=seed)
        for start in range(3):
            trainee.observe(a_stream(60, seed=start))
            trainee.step()
        made.append(trainee.snapshot())
    assert (made[0].vectors == made[1].vectors).all()
    assert all(torch.equal(made[0].ranker[name], made[1].ranker[name]) for name in made[0].ranker)
    assert not (made[0].vectors == made[2].vectors).all()


def test_examples_are_evaluated_before_training() -> None:
    trainee = learner()
    trainee.observe(a_stream(100))
    before = trainee.next_item_window.compare()
    assert before.count == 100
    assert before.candidate == before.serving
    trainee.step()
    assert trainee.next_item_window.compare() == before


def test_the_serving_model_is_the_last_release() -> None:
    trainee = learner()
    trainee.set_serving(trainee.snapshot())
    for step in range(12):
        trainee.observe([next_item("u", "i1", step, 0, _first_is_best(step + seed)) for seed in range(50)])
        trainee.step()
    seen = trainee.next_item_window.compare()
    assert seen.candidate < seen.serving - 0.1


def _settled(steps: int, **kinds: int) -> Learner:
    """Return a learner that has released after each of `steps` easy steps, without a regression."""
    trainee = learner()
    for step in range(steps):
        trainee.observe(_easy(step, **kinds))
        trainee.step()
        trainee.set_serving(trainee.snapshot(), step)
        assert not trainee.regressed()
    return trainee


@pytest.mark.parametrize("sets", [20, 3])
def test_a_regressed_release_is_rolled_back_to_the_last_known_good_one(sets: int) -> None:
    trainee = _settled(100, sets=sets)
    good = trainee.label_window.compare().candidate
    invert_ranker(trainee)
    for step in range(100, 300):
        trainee.set_serving(trainee.snapshot(), step)
        trainee.observe(_easy(step, sets=sets))
        if trainee.regressed():
            break
    bad = trainee.label_window.compare().candidate
    back = trainee.roll_back()
    assert (back.reason, 0 < back.version < 100) == (LOG_LOSS, True)
    assert not trainee.regressed()
    trainee.observe(_easy(300))
    assert trainee.label_window.compare().candidate < (good + bad) / 2


def test_a_regressed_ranker_that_never_served_is_rolled_back_to_the_serving_one() -> None:
    trainee = _settled(100)
    invert_ranker(trainee)
    for step in range(100, 300):
        trainee.observe(_easy(step))
        if trainee.regressed():
            break
    assert trainee.roll_back() == Rollback(HELD, 99)


def test_a_bad_release_never_becomes_the_last_known_good_one() -> None:
    trainee = _settled(100)
    good = trainee.snapshot()
    last_known_good: set[int] = set()
    for step in range(100, 160):
        if step in (110, 120, 130):
            invert_ranker(trainee)
            trainee.set_serving(trainee.snapshot(), 1000 + step)
            invert_ranker(trainee)
        trainee.set_serving(good, step)
        trainee.observe(_easy(step))
        if trainee._last_good.release is not None:
            last_known_good.add(trainee._last_good.release.version)
    assert max(last_known_good) < 1000


def test_a_run_of_negative_labels_is_not_rolled_back() -> None:
    trainee = learner()
    for step in range(120):
        ignored = [replace(each, actions=(-1,) * 8) for each in _easy(step) if isinstance(each, ImpressionExample)]
        chosen = [each for each in _easy(step) if isinstance(each, NextItemExample)]
        trainee.observe([*ignored, *chosen] if 60 <= step < 90 else _easy(step))
        trainee.step()
        trainee.set_serving(trainee.snapshot(), step)
        assert not trainee.regressed()


def test_scenarios_are_compared_separately() -> None:
    trainee = learner()
    trainee.set_serving(trainee.snapshot())
    slates = [example for example in _easy(0) if isinstance(example, ImpressionExample)]
    trainee.observe([example if step % 2 else replace(example, scenario=SHOP) for step, example in enumerate(slates)])
    comparisons = trainee.scenario_windows.compare()
    assert comparisons.keys() == {"video", "shop"}
    assert sum(each.count for each in comparisons.values()) == trainee.label_window.compare().count


def test_without_rehearsal_steps_are_skipped_and_counted() -> None:
    trainee = learner()
    trainee.observe(a_stream(300))
    report = trainee.step(Effort.NO_REHEARSAL)
    assert (report.encoder_steps, report.shed_steps) == (1, 2)
    assert trainee.untrained == 0


def test_the_sequence_of_an_unknown_user_starts_with_the_history_of_the_example() -> None:
    trainee = learner()
    past = tuple(next_item("u", f"i{number}", number).event for number in range(3))
    for item in ("i7", "i8"):
        example = next_item("u", item, 99)
        trainee.observe([NextItemExample("u", example.event, past, example.features, -1)])
    windows = trainee.encoder.sequences.windows(np.array([0]))
    names = [trainee.encoder.table.ids[row] for row in windows.targets[0]]
    assert names == ["i0", "i1", "i2", "i7", "i8"]


def test_labels_alone_train_the_ranker() -> None:
    trainee = learner()
    trainee.observe([example for example in a_stream(100) if not isinstance(example, NextItemExample)])
    report = trainee.step()
    assert (report.encoder_steps, report.ranker_steps > 0) == (0, True)


def test_the_content_of_an_item_may_change() -> None:
    trainee = learner(items=2)
    before = trainee.snapshot().vectors
    trainee.admit([ItemContent("i0", ["something else"])])
    after = trainee.snapshot().vectors
    assert (before[2] == after[2]).all()
    assert not (before[1] == after[1]).all()


def test_weights_with_nan_are_not_finite() -> None:
    trainee = learner()
    assert trainee.snapshot().finite()
    trainee.encoder.encoder.scale.data[3] = float("nan")
    assert not trainee.snapshot().finite()


def _easy(step: int, sets: int = 20) -> list[ImpressionExample | NextItemExample]:
    """Return 20 slates whose first item is clicked, and `sets` next items with the same item chosen; one feature predicts both."""
    made: list[ImpressionExample | NextItemExample] = []
    for number in range(20):
        rows = _first_is_best(1000 * step + number)
        made.append(ImpressionExample("label", VIDEO, rows, tuple(range(8)), (CLICK, *[-1] * 7)))
        if number < sets:
            made.append(next_item(f"u{number}", f"i{number}", 1000 * step + number, 0, rows))
    return made


def _first_is_best(seed: int) -> "np.ndarray[tuple[int, int], np.dtype[np.float16]]":
    candidates = features(8, seed)
    candidates[0, 3] = 4.0
    return candidates


def test_superseded_candidates_do_not_train_the_ranker_but_the_event_trains_the_encoder() -> None:
    trainee = learner()
    fresh, old = next_item("u", "i1", 1, 0, _first_is_best(1)), next_item("v", "i2", 1, 0, _first_is_best(2))
    trainee.observe([fresh, replace(old, superseded=True)])
    assert trainee.next_item_window.compare().count == 1
    assert trainee.encoder.untrained_events == 2


class LengthTextModel:
    """Embeds each text in the direction of its length."""

    def __init__(self, name: str = "reader") -> None:
        self.name = name

    def embed(self, texts: Sequence[str]) -> TextVectors:
        vectors = np.zeros((len(texts), TEXT_DIM), np.float32)
        for row, text in enumerate(texts):
            vectors[row, len(text)] = float(bool(text))
        return vectors


def test_a_new_item_is_close_to_items_with_the_same_words() -> None:
    """Items have one of two words, and users stay with items of one word. A new item is close to those with its word."""
    trainee = Learner(SCENARIOS, LearnerPolicy(encoder=EncoderPolicy(rate=0.02, budgets=UNBOUNDED)), LengthTextModel())
    trainee.admit([ItemContent(f"i{number}", words=("aa", "bbbb")[number % 2]) for number in range(40)])
    assert trainee.pending_texts == 40
    trainee.embed_texts(30)
    assert trainee.pending_texts == 10
    restored = Learner(SCENARIOS, LearnerPolicy(encoder=EncoderPolicy(rate=0.02, budgets=UNBOUNDED)), LengthTextModel())
    restored.restore(trainee.state())
    restored.embed_texts()
    assert restored.pending_texts == 0
    for step in range(30):
        restored.observe(
            [next_item(f"u{user}", f"i{(2 * user + 2 * step) % 40 + user % 2}", step * 1000) for user in range(60)]
        )
        restored.step()
    restored.admit([ItemContent("new a", words="aa"), ItemContent("new b", words="bbbb")])
    restored.embed_texts()
    table = restored.encoder.table
    vectors = dict(zip(table.ids, table.all_vectors(), strict=True))
    for new, kind in (("new a", 0), ("new b", 1)):
        similarity = [
            float(sum(vectors[new] @ vectors[f"i{number}"] for number in range(word, 40, 2))) for word in (0, 1)
        ]
        assert similarity[kind] > similarity[1 - kind]


def test_items_admitted_before_a_step_can_be_sampled() -> None:
    made = learner(items=10, full_softmax_items=0)
    made.observe([next_item("u", "i1", 1), next_item("u", "i2", 2)])
    made.admit([ItemContent(f"new{number}", []) for number in range(500)])
    assert made.step().encoder_steps > 0


def test_texts_are_embedded_again_by_another_text_model_and_dropped_when_removed() -> None:
    trainee = Learner(SCENARIOS, LearnerPolicy(), LengthTextModel())
    trainee.admit([ItemContent("waiting", words="bb"), ItemContent("i", words="aa")])
    trainee.embed_texts(1)
    for text_model, outdated in ((LengthTextModel(), False), (LengthTextModel("another"), True), (None, True)):
        restored = Learner(SCENARIOS, LearnerPolicy(), text_model)
        restored.restore(trainee.state())
        assert restored.items_outdated == outdated
        assert bool(restored.encoder.table.text_digest("i")) != outdated
        assert restored.pending_texts == (0 if outdated else 1)
    trainee.admit([ItemContent("i", words="")])
    trainee.embed_texts()
    assert not trainee.encoder.table.text_digest("i")


def test_unchanged_texts_are_not_embedded_again_and_new_ones_come_first() -> None:
    """Also after a restart from a checkpoint."""
    model = LengthTextModel()
    trainee = Learner(SCENARIOS, LearnerPolicy(), model)
    catalogue = [ItemContent(f"i{number}", words="word " * (1 + number % 50)) for number in range(6000)]
    trainee.admit(catalogue)
    trainee.embed_texts(6000)
    restored = Learner(SCENARIOS, LearnerPolicy(), model)
    restored.restore(trainee.state())
    for each in (trainee, restored):
        each.admit(catalogue)
        assert each.pending_texts == 0
        each.admit([replace(item, words="changed") for item in catalogue[:100]])
        each.admit([ItemContent("new", words="a word"), *catalogue[50:]])
        assert each.pending_texts == 51
        each.embed_texts(1)
        assert each.encoder.table.text_digest("new")


def test_an_item_may_name_a_scenario_that_is_added_later(tmp_path: Path) -> None:
    shipped = REPO_ROOT / "scenarios.yaml"
    scenarios = load_scenarios(shipped)
    trainee = Learner(scenarios, LearnerPolicy())
    trainee.admit([ItemContent("here", scenarios=["video", "podcasts"]), ItemContent("moved", scenarios=["podcasts"])])
    trainee.admit([ItemContent("anywhere"), ItemContent("moved", scenarios=["video"])])
    more = tmp_path / "scenarios.yaml"
    actions = "{impression: {weight: 0}, play: {weight: 1}}"
    more.write_text(f"{shipped.read_text()}\n  podcasts: {{id: 15, actions: {actions}, attribution_window_sec: 60}}\n")
    restored = Learner(load_scenarios(more), LearnerPolicy())
    restored.restore(trainee.state())
    scenarios.adopt(load_scenarios(more))
    for each in (trainee, restored):
        table = each.encoder.table
        assert [[table.ids[row] for row in table.rows_of_scenario(scenario)] for scenario in (0, 15, 3)] == [
            ["here", "moved", "anywhere"],
            ["here", "anywhere"],
            ["anywhere"],
        ]


def test_a_batch_may_hold_more_labels_than_the_memory() -> None:
    trainee = learner(3)
    sets = [impressions(1000, positive=3, seed=seed) for seed in range(MAX_IMPRESSIONS // 1000 + 2)]
    trainee.observe([replace(sets[0], kind="upgrade"), *sets])
    assert len(trainee.quality._scenarios[VIDEO].actions) == QUALITY_WINDOW
    trainee.step()
    assert trainee.snapshot().finite()
