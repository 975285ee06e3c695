"""SIGKILL in the middle of a stream, an empty disk each time: every request is answered, from the same state as before."""

import asyncio
import random

import numpy as np
import pytest

from eddy.contract.codec import Record
from eddy.contract.model import DIM
from eddy.contract.topics import ITEM_EMBEDDINGS, ITEM_FEATURES, ITEMS, MODEL_RELEASES, USER_FEATURES
from tests.poll import poll_until
from tests.scorer.factories import hashes, item, item_features, request_record, user_features
from tests.scorer.graphs import embedding, rank_graph, release
from tests.scorer.running import CollectedSlates, ScorerHarness

pytestmark = pytest.mark.stack

NAMES = [f"m{number}" for number in range(1, 121)]
USERS = [f"u{number}" for number in range(24)]
KILLS = 4
PER_LIFE = 60


async def _fill(harness: ScorerHarness) -> None:
    """Items, counts, users and a release, everything that a list is made of."""
    chance = random.Random(3)
    await harness.publish(ITEMS, *[item(name, categories=[f"c{len(name)}"]) for name in NAMES])
    await harness.publish(
        ITEM_FEATURES,
        *[
            item_features(name, {other: chance.random() for other in chance.sample(NAMES, 12)}, chance.random() * 9)
            for name in NAMES
        ],
    )
    await harness.publish(
        USER_FEATURES,
        *[user_features(user, chance.sample(NAMES, 20), seen=hashes(*chance.sample(NAMES, 5))) for user in USERS],
    )
    rng = np.random.default_rng(4)
    ends = await harness.publish(ITEM_EMBEDDINGS, *[embedding(name, 1, rng.standard_normal(DIM)) for name in NAMES])
    rank = rank_graph({"encoder_score": 0.1, "covisit_score": 1.0, "content_match": 1.0, "click_share": 0.1})
    await harness.publish(MODEL_RELEASES, release(1, ends, rank=rank))


def _certain(found: Record) -> list[tuple[str, float, str]]:
    """The items of a slate without its last position, which may explore."""
    return [(entry["item_id"], round(entry["score"], 4), entry["reason"]) for entry in found["items"][:-1]]


async def _ask_everybody(
    harness: ScorerHarness, answers: CollectedSlates, label: str
) -> dict[str, list[tuple[str, float, str]]]:
    names = {user: f"{label}-{user}" for user in USERS}
    await harness.ask(*[request_record(user, request_id=name, limit=8) for user, name in names.items()])
    await answers.to_all(list(names.values()))
    return {user: _certain(answers.lists[name][0]) for user, name in names.items()}


async def test_every_request_is_answered_through_kills_and_from_the_same_state(harness: ScorerHarness) -> None:
    await _fill(harness)
    chance = random.Random(5)
    asked: list[str] = []
    async with harness.answers() as answers:
        with harness.scorer(instance_id="one") as scorer:
            await scorer.ready()
            undisturbed = await _ask_everybody(harness, answers, "before")
        for life in range(KILLS):
            names = [f"r{life}-{number}" for number in range(PER_LIFE)]
            asked += names
            asking = asyncio.create_task(_ask_slowly(harness, names))
            with harness.scorer(instance_id="one") as scorer:
                answered = f"r{life}-{chance.randrange(PER_LIFE // 2)}"
                await poll_until(lambda name=answered: name in answers.lists, 60, 0.001, what="answers before the kill")
                scorer.kill()
            await asking
        with harness.scorer(instance_id="one") as scorer:
            await answers.to_all(asked)
            assert await _ask_everybody(harness, answers, "after") == undisturbed
    assert all(len(places) == 7 for places in undisturbed.values())


async def test_another_instance_answers_for_a_killed_one(harness: ScorerHarness) -> None:
    await _fill(harness)
    async with harness.answers() as answers:
        with harness.scorer(session_timeout_sec="6") as first, harness.scorer(session_timeout_sec="6") as second:
            await first.ready()
            await second.ready()
            both = await _ask_everybody(harness, answers, "both")
            shared = [each.metric("eddy_scorer_slates_total") for each in (first, second)]
            assert min(shared) > 0
            first.kill()
            alone = await _ask_everybody(harness, answers, "alone")
            assert second.metric("eddy_scorer_slates_total") >= shared[1] + len(USERS)
    assert both == alone
    assert {found["applied_offset"] for lists in answers.lists.values() for found in lists} == {20}


async def _ask_slowly(harness: ScorerHarness, names: list[str]) -> None:
    """A few at a time, so that a kill finds some answered, some taken and some not read."""
    for start in range(0, len(names), 5):
        batch = names[start : start + 5]
        await harness.ask(*[request_record(USERS[sum(map(ord, name)) % len(USERS)], request_id=name) for name in batch])
