"""Deleted items: the trainer keeps nothing of them, and late events do not bring them back."""

from dataclasses import replace

import numpy as np

from eddy_trainer.core.learner import ItemContent, Learner
from tests.trainer.factories import learner, next_item


def restored(trainee: Learner) -> Learner:
    other = learner(items=0)
    other.restore(trainee.state())
    return other


def trained() -> Learner:
    """A learner with 60 events of i1, among others."""
    trainee = learner()
    trainee.observe([next_item(f"u{user}", f"i{item}", 1000 * item) for user in range(60) for item in (1, 2, 3)])
    trainee.step()
    return trainee


def rows_in_sequences(trainee: Learner) -> set[int]:
    return set(np.unique(trainee.encoder.sequences.state()["rows"]).tolist())


def test_a_deleted_item_is_gone_and_its_row_is_reused() -> None:
    trainee = trained()
    row, size = trainee.encoder.table.row("i1"), len(trainee.encoder.table)
    trainee.admit([ItemContent("i1", deleted=True), ItemContent("never known", deleted=True)])
    for each in (trainee, restored(trainee)):
        weights = each.snapshot()
        assert "i1" not in weights.item_ids
        assert weights.deleted == ("i1", "never known")
        assert not weights.vectors[row].any()
        assert weights.finite()
        assert row not in rows_in_sequences(each)
        assert row not in each.encoder.table.rows_of_scenario(0)
        each.admit([ItemContent("new")])
        assert (each.encoder.table.row("new"), len(each.encoder.table)) == (row, size)
        each.observe([next_item("u1", "new", 9000), next_item("u2", "i4", 9000)])
        assert each.step().encoder_steps > 0
        assert each.snapshot().finite()


def test_late_events_do_not_bring_a_deleted_item_back() -> None:
    trainee = trained()
    trainee.admit([ItemContent("i1", deleted=True)])
    late = next_item("u1", "i1", 9000)
    for each in (trainee, restored(trainee)):
        each.observe([late, replace(late, user_id="somebody else", history=(late.event,))])
        each.step()
        assert "i1" not in each.snapshot().item_ids
        assert "somebody else" not in each.encoder.sequences


def test_an_item_that_is_published_again_starts_anew() -> None:
    trainee = trained()
    before = trainee.snapshot().vectors[trainee.encoder.table.row("i1")].copy()
    trainee.admit([ItemContent("i1", deleted=True)])
    trainee.admit([ItemContent("i1", ["c1"])])
    weights = trainee.snapshot()
    assert weights.deleted == ()
    assert (weights.vectors[weights.item_ids.index("i1")] != before).any()
    trainee.observe([next_item("u1", "i1", 9000)])
    assert trainee.encoder.table.row("i1") in rows_in_sequences(trainee)


def test_the_last_record_of_a_batch_decides() -> None:
    trainee = learner()
    item, deletion = ItemContent("i1", ["c1"]), ItemContent("i1", deleted=True)
    trainee.admit([deletion, item])
    assert "i1" in trainee.snapshot().item_ids
    trainee.admit([item, deletion])
    assert "i1" not in trainee.snapshot().item_ids


def test_a_published_deletion_is_published_once() -> None:
    trainee = trained()
    trainee.admit([ItemContent("i1", deleted=True)])
    trainee.set_serving(trainee.snapshot(), 1)
    assert trainee.snapshot().deleted == ()


def test_churn_of_items_does_not_grow_the_table() -> None:
    trainee = learner()
    for day in range(20):
        trainee.admit([ItemContent(f"day {day}, {number}") for number in range(100)])
        trainee.observe([next_item(f"u{number}", f"day {day}, {number}", day) for number in range(20)])
        trainee.step()
        trainee.admit([ItemContent(f"day {day}, {number}", deleted=True) for number in range(100)])
    assert len(trainee.encoder.table) == 1 + 30 + 100


def test_a_learner_keeps_no_id_of_a_deleted_item() -> None:
    """Late events are known by a digest, so that the checkpoint forgets the id as well."""
    trainee = trained()
    trainee.admit([ItemContent("i1", deleted=True)])
    assert trainee.unpublished_deletions == ("i1",)
    trainee.deletions_published(["i1"])
    assert "'i1'" not in repr(trainee.state())
    trainee.observe([next_item("u1", "i1", 9000)])
    assert "'i1'" not in repr(restored(trainee).state())


def test_a_checkpoint_of_a_former_version_still_ignores_late_events() -> None:
    trainee = trained()
    trainee.admit([ItemContent("i1", deleted=True)])
    state = trainee.state()
    table = state["encoder"]["table"]
    del table["deletions"]
    table["deleted"] = (["i1"], ["i1"])
    other = learner(items=0)
    other.restore(state)
    assert other.unpublished_deletions == ("i1",)
    other.observe([next_item("u1", "i1", 9000)])
    assert "i1" not in other.snapshot().item_ids
