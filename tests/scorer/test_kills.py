"""Scorers killed while they answer, each restarted on an empty disk: every request is answered from the same state."""

import asyncio
import random

import numpy as np
import pytest

from eddy.contract.codec import Record
from eddy.contract.model import DIM
from eddy.contract.topics import ITEM_EMBEDDINGS, ITEM_FEATURES, ITEMS, MODEL_RELEASES, USER_FEATURES
from tests.poll import poll_until
from tests.scorer.factories import item, item_features, request_record, seen_items, user_features
from tests.scorer.graphs import embedding, rank_graph, release
from tests.scorer.running import CollectedSlates, ScorerHarness

pytestmark = pytest.mark.stack

NAMES = [f"m{number}" for number in range(1, 121)]
USERS = [f"u{number}" for number in range(24)]
KILLS = 4
PER_LIFE = 60


async def _fill(harness: ScorerHarness) -> None:
    """Publish items, counts, users and a release."""
    random_source = random.Random(3)
    await harness.publish(ITEMS, *[item(name, categories=[f"c{len(name)}"]) for name in NAMES])
    await harness.publish(
        ITEM_FEATURES,
        *[
            item_features(
                name,
                {other: random_source.random() for other in random_source.sample(NAMES, 12)},
                random_source.random() * 9,
            )
            for name in NAMES
        ],
    )
    await harness.publish(
        USER_FEATURES,
        *[
            user_features(user, names[:20], seen_items=seen_items(*names))
            for user in USERS
            if (names := random_source.sample(NAMES, 25))
        ],
    )
    rng = np.random.default_rng(4)
    ends = await harness.publish(ITEM_EMBEDDINGS, *[embedding(name, 1, rng.standard_normal(DIM)) for name in NAMES])
    rank = rank_graph({"encoder_score": 0.1, "covisit_score": 1.0, "content_match": 1.0, "click_share": 0.1})
    await harness.publish(MODEL_RELEASES, release(1, ends, rank=rank))


def _ranked_part(slate: Record) -> list[tuple[str, float, str]]:
    """The items of a slate without its last position, which may explore."""
    return [(entry["item_id"], round(entry["score"], 4), entry["reason"]) for entry in slate["items"][:-1]]


async def _slates_of_all_users(
    harness: ScorerHarness, answers: CollectedSlates, label: str
) -> dict[str, list[tuple[str, float, str]]]:
    names = {user: f"{label}-{user}" for user in USERS}
    await harness.ask(*[request_record(user, request_id=name, limit=8) for user, name in names.items()])
    await answers.to_all(list(names.values()))
    return {user: _ranked_part(answers.by_request_id[name][0]) for user, name in names.items()}


async def test_every_request_is_answered_through_kills_from_the_same_state(harness: ScorerHarness) -> None:
    await _fill(harness)
    random_source = random.Random(5)
    request_ids: list[str] = []
    async with harness.answers() as answers:
        with harness.scorer(instance_id="one") as scorer:
            await scorer.ready()
            expected = await _slates_of_all_users(harness, answers, "before")
        for life in range(KILLS):
            names = [f"r{life}-{number}" for number in range(PER_LIFE)]
            request_ids += names
            requesting = asyncio.create_task(_request_slowly(harness, names))
            with harness.scorer(instance_id="one") as scorer:
                answered = f"r{life}-{random_source.randrange(PER_LIFE // 2)}"
                await poll_until(
                    lambda name=answered: name in answers.by_request_id, 60, 0.001, what="answers before the kill"
                )
                scorer.kill()
            await requesting
        with harness.scorer(instance_id="one") as scorer:
            await answers.to_all(request_ids)
            assert await _slates_of_all_users(harness, answers, "after") == expected
    assert all(len(ranked) == 7 for ranked in expected.values())


async def test_another_instance_takes_over_from_a_killed_one(harness: ScorerHarness) -> None:
    await _fill(harness)
    async with harness.answers() as answers:
        with harness.scorer(session_timeout_sec="6") as first, harness.scorer(session_timeout_sec="6") as second:
            await first.ready()
            await second.ready()
            with_both = await _slates_of_all_users(harness, answers, "both")
            shared = [each.metric("eddy_scorer_slates_total") for each in (first, second)]
            assert min(shared) > 0
            first.kill()
            with_one = await _slates_of_all_users(harness, answers, "alone")
            assert second.metric("eddy_scorer_slates_total") >= shared[1] + len(USERS)
    assert with_both == with_one
    assert {slate["applied_offset"] for slates in answers.by_request_id.values() for slate in slates} == {20}


async def _request_slowly(harness: ScorerHarness, names: list[str]) -> None:
    """Request a few slates at a time, so that at a kill some requests are answered, some queued and some unread."""
    for start in range(0, len(names), 5):
        batch = names[start : start + 5]
        await harness.ask(*[request_record(USERS[sum(map(ord, name)) % len(USERS)], request_id=name) for name in batch])
