"""Releases activated under load: every request is answered, every slate is scored by one version, memory stays flat."""

import asyncio
import itertools

import numpy as np
import psutil
import pytest

from eddy.contract.codec import Record
from eddy.contract.model import DIM, FEATURES
from eddy.contract.topics import ITEM_EMBEDDINGS, ITEMS, MODEL_RELEASES
from tests.scorer.factories import features_of, item, item_ids_of, request_record
from tests.scorer.graphs import embedding, encode_graph, rank_graph, release
from tests.scorer.running import CollectedSlates, ScorerHarness

pytestmark = pytest.mark.stack

NAMES = [f"m{number}" for number in range(1, 41)]
SWAPS = 200
WARM_UP_SWAPS = 60
MAX_GROWTH_MB = 24
ENCODE = encode_graph()


async def _release(harness: ScorerHarness, version: int, **changes: object) -> None:
    """Publish a release whose embeddings (by bias) and predictions show its version."""
    embeddings = [embedding(name, version, np.zeros(DIM, np.float32), float(version)) for name in NAMES]
    ends = await harness.publish(ITEM_EMBEDDINGS, *embeddings)
    graphs = {"encode": ENCODE, "rank": rank_graph(constant=version / 1000)}
    await harness.publish(MODEL_RELEASES, release(version, ends, **{**graphs, **changes}))


def _assert_of_one_version(slate: Record) -> None:
    version = slate["model_version"]
    assert {entry["score"] for entry in slate["items"]} == {float(version)}
    if version:
        assert {round(value * 1000, 3) for entry in slate["items"] for value in entry["predictions"]} == {
            float(version)
        }


class _Load:
    """Requests slates without a pause, a few at a time, and records the request ids."""

    def __init__(self, harness: ScorerHarness, answers: CollectedSlates) -> None:
        self._harness = harness
        self._answers = answers
        self._numbers = itertools.count()
        self.request_ids: list[str] = []

    async def until_version(self, version: int) -> None:
        """Request slates until one has that version."""
        while True:
            names = [f"r{next(self._numbers)}" for _ in range(4)]
            self.request_ids += names
            await self._harness.ask(*[request_record(f"u{name}", request_id=name) for name in names])
            if (await self._answers.to(names[-1]))["model_version"] >= version:
                return


async def test_releases_are_activated_under_load(harness: ScorerHarness) -> None:
    await harness.publish(ITEMS, *[item(name) for name in NAMES])
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            load = _Load(harness, answers)
            process = psutil.Process(scorer.process.pid)
            baseline_bytes = 0
            for version in range(1, SWAPS + 1):
                requesting = asyncio.create_task(load.until_version(version))
                await _release(harness, version)
                await requesting
                if version == WARM_UP_SWAPS:
                    baseline_bytes = process.memory_info().rss
            growth = process.memory_info().rss - baseline_bytes
            await answers.to_all(load.request_ids)
        assert scorer.metric("eddy_scorer_activated_releases_total") == SWAPS
        assert scorer.metric("eddy_scorer_model_version") == SWAPS
    slates = [slate for name in load.request_ids for slate in answers.by_request_id[name]]
    assert len(slates) == len(load.request_ids) >= 4 * SWAPS
    for slate in slates:
        assert len(slate["items"]) == 5
        _assert_of_one_version(slate)
    assert growth < MAX_GROWTH_MB * 2**20, f"{growth / 2**20:.1f} MB more after {SWAPS - WARM_UP_SWAPS} releases"


async def test_embeddings_of_a_missing_release_do_not_serve(harness: ScorerHarness) -> None:
    await harness.publish(ITEMS, *[item(name) for name in NAMES])
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            await _release(harness, 1)
            load = _Load(harness, answers)
            await load.until_version(1)
            await harness.publish(ITEM_EMBEDDINGS, embedding("m1", 2, np.ones(DIM, np.float32), 99.0))
            await _release(harness, 3, contract="0" * 16)
            await harness.ask(request_record("u", request_id="after"))
            _assert_of_one_version(await answers.to("after"))
            assert answers.by_request_id["after"][0]["model_version"] == 1


async def test_invalid_release_is_refused_and_the_former_one_serves_on(harness: ScorerHarness) -> None:
    await harness.publish(ITEMS, *[item(name) for name in NAMES])
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            load = _Load(harness, answers)
            await _release(harness, 1)
            await load.until_version(1)
            await _release(harness, 2, contract="fedcba9876543210")
            await _release(harness, 3, signature="0" * 64)
            await _release(harness, 4, encode=b"no graph at all")
            await _release(harness, 5)
            await load.until_version(5)
            await answers.to_all(load.request_ids)
        assert scorer.metric("eddy_scorer_refused_releases_total", "contract_mismatch") == 1
        assert scorer.metric("eddy_scorer_refused_releases_total", "bad_release") <= 1
        assert scorer.metric("eddy_scorer_refused_releases_total", "bad_signature") == 1
        assert scorer.metric("eddy_scorer_activated_releases_total") == 2
    assert {slate["model_version"] for slates in answers.by_request_id.values() for slate in slates} <= {0, 1, 5}
    reasons = [letter["reason"] for letter in await harness.dead_letters()]
    assert reasons.count("contract_mismatch") == 1
    assert (
        {"contract_mismatch", "bad_signature"} <= set(reasons) <= {"contract_mismatch", "bad_signature", "bad_release"}
    )


async def test_start_activates_the_newest_release_and_its_embeddings(harness: ScorerHarness) -> None:
    await harness.publish(ITEMS, *[item(name) for name in NAMES])
    await _release(harness, 1)
    await _release(harness, 2)
    # A row that is newer than the release, as compaction leaves one; and one of an item that has no other.
    await harness.publish(ITEM_EMBEDDINGS, embedding("m1", 3, np.ones(DIM, np.float32), 30.0))
    await harness.publish(ITEM_EMBEDDINGS, embedding("only-later", 3, np.ones(DIM, np.float32), 30.0))
    await harness.publish(ITEMS, item("only-later"))
    with harness.scorer() as scorer:
        await scorer.ready()
        async with harness.answers() as answers:
            await harness.ask(request_record("u", request_id="r", limit=60))
            slate = await answers.to("r")
    assert slate["model_version"] == 2
    assert features_of(slate, "m1")["encoder_score"] == 2.0
    assert features_of(slate, "only-later")["encoder_score"] > 20.0
    assert item_ids_of(slate)[0] == "only-later"
    assert len(FEATURES) * 2 * len(slate["considered"]) == len(slate["features"])
