"""Erasing a user: sequences and remembered examples go, those of others stay."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddy_trainer.core.sequences import COLUMNS
from tests.trainer.factories import a_store, a_stream, learner, next_item

pytestmark = pytest.mark.unit

USERS = "abcdef"


@given(st.lists(st.sampled_from(USERS), max_size=8), st.integers(2, 6))
def test_a_forgotten_sequence_leaves_the_others_and_no_bytes(erased: list[str], max_users: int) -> None:
    rows = {user: list(range(1 + 10 * number, 4 + 11 * number)) for number, user in enumerate(USERS)}
    store = a_store(rows, max_users=max_users)
    for user in erased:
        store.forget(user)
    kept = [user for user in USERS[-max_users:] if user not in erased]
    assert len(store) == len(kept)
    for user in kept:
        targets = store.windows(np.array([store.slot_of(user)])).targets[0]
        assert targets[targets > 0].tolist() == rows[user]
    state = store.state()
    assert sorted(state["users"]) == kept  # type: ignore[call-overload]
    for name in COLUMNS:  # nothing remains beyond the used slots either, where a new user will be
        assert not store._columns[name][len(kept) :].any()


def test_a_learner_forgets_a_user_and_trains_on() -> None:
    trainee = learner()
    trainee.observe(a_stream(300))
    trainee.step()
    trainee.observe(a_stream(40, seed=1))  # untrained yet
    sets, impressions = trainee.ranker.candidate_sets, trainee.ranker.impressions
    sizes = len(sets), len(impressions)
    trainee.forget(["u3", "nobody"])
    assert "u3" not in trainee.encoder.sequences
    assert len(trainee.encoder.sequences) == 19
    assert hash("u3") not in sets._users[: len(sets)]
    assert (len(sets), len(impressions)) == sizes
    assert trainee.step().encoder_steps > 0
    trainee.observe([next_item("u3", "i1")])  # a new user with the same id
    slot = trainee.encoder.sequences.slot_of("u3")
    assert int((trainee.encoder.sequences.windows(np.array([slot])).targets > 0).sum()) == 1


def test_forgetting_the_only_user_empties_the_memories() -> None:
    trainee = learner()
    trainee.observe([example for example in a_stream(40, users=1) if hasattr(example, "user_id")])
    trainee.forget(["u0"])
    assert len(trainee.ranker.candidate_sets) == 0
    assert not trainee.ranker.candidate_sets._features.any()
    assert trainee.step() is not None
