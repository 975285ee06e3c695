"""The newest good release serves, whatever stands in the topic, also at a start."""

from pathlib import Path
from typing import Any, cast

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.topics import MODEL_RELEASES
from eddy.errors import PoisonError
from eddy.kafka.dead_letters import DeadLetters
from eddy.last_good_release import LastGoodRelease
from eddy_scorer.core.model.graphs import OnnxModel, StuckLoadError
from eddy_scorer.core.model.releases import ReleaseStaging
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.shell.freshness import Freshness
from eddy_scorer.shell.refused_releases import RefusedReleases
from eddy_scorer.shell.release_activator import ReleaseActivator
from eddy_scorer.shell.stuck_releases import StuckReleases
from tests.release_keys import KEYS
from tests.scorer.factories import recommender
from tests.scorer.graphs import rank_graph, release

_LOAD = OnnxModel.load
BAD = {"rank": rank_graph(constant=7.0)}  # signed, but its answers are no probabilities


class Activating:
    """The parts of a scorer that activate releases, on the state folder `folder`. Nothing is dead-lettered before it follows the topic."""

    def __init__(self, folder: Path) -> None:
        self.recommender: Recommender = recommender()
        self.staging = ReleaseStaging(KEYS)
        self.copy = LastGoodRelease(folder / "scorer.release")
        self.refused = RefusedReleases(cast("DeadLetters", None))
        stuck = StuckReleases(folder / "scorer.stuck")
        self.activator = ReleaseActivator(
            self.recommender, self.staging, {}, self.refused, self.copy, stuck, Freshness()
        )

    async def offer(self, record: dict[str, Any], key: bytes = b"champion") -> None:
        message = Message(MODEL_RELEASES, 0, 0, key, Codec.for_topic(MODEL_RELEASES).encode(record), 0)
        try:
            self.staging.stage_release(cast("Any", record), message, self.recommender.model_version)
        except PoisonError as error:
            await self.refused.refuse(message, error)

    async def start(self) -> int:
        await self.activator.activate_first()
        return self.recommender.model_version


async def test_the_newest_good_release_serves(tmp_path: Path) -> None:
    scorer = Activating(tmp_path)
    await scorer.offer(release(1))
    await scorer.offer(release(2))
    await scorer.offer(release(3, **BAD))
    await scorer.offer(release(2**50, signature="0" * 64))
    assert await scorer.start() == 2
    await scorer.offer(release(4, **BAD))
    await scorer.activator.activate_next()
    assert scorer.recommender.model_version == 2
    await scorer.offer(release(5))
    await scorer.activator.activate_next()
    assert scorer.recommender.model_version == 5


async def test_any_number_of_bad_releases_ends_with_the_newest_good_one(tmp_path: Path) -> None:
    scorer = Activating(tmp_path)
    await scorer.offer(release(1))
    await scorer.offer(release(2))
    for version in range(3, 10):
        await scorer.offer(release(version, **BAD))
    assert await scorer.start() == 2


async def test_a_release_that_never_loads_is_not_loaded_again_by_any_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[int] = []

    def load(record: dict[str, Any], *_: object) -> OnnxModel:
        loaded.append(record["version"])
        if record["version"] == 3:
            raise StuckLoadError("bad_release", "the graphs do not stop")
        return _LOAD(cast("Any", record))

    monkeypatch.setattr(OnnxModel, "load", load)
    stuck = release(3)
    for _ in range(3):
        scorer = Activating(tmp_path)
        scorer.copy = LastGoodRelease(tmp_path / "none")
        await scorer.offer(stuck)
        await scorer.offer(release(2))
        assert await scorer.start() == 2
        await scorer.offer(stuck)
        await scorer.activator.activate_next()
    assert loaded.count(3) == 1


async def test_a_copy_serves_if_the_topic_holds_no_good_release(tmp_path: Path) -> None:
    """As after compaction, which leaves only the last record of a key."""
    first = Activating(tmp_path)
    await first.offer(release(7))
    assert await first.start() == 7
    again = Activating(tmp_path)
    await again.offer({**release(9), "signature": ""})
    assert await again.start() == 7
    await again.offer(release(8))
    await again.activator.activate_next()
    assert again.recommender.model_version == 8
    assert await Activating(tmp_path).start() == 8


@pytest.mark.parametrize("damage", ["truncated", "forged", "bad graphs"])
async def test_a_copy_is_no_more_trusted_than_the_topic(tmp_path: Path, damage: str) -> None:
    scorer = Activating(tmp_path)
    codec = Codec.for_topic(MODEL_RELEASES)
    forged = {**release(3), "version": 4}
    content = {
        "truncated": codec.encode(cast("Any", release(3)))[:-9],
        "forged": codec.encode(cast("Any", forged)),
        "bad graphs": codec.encode(cast("Any", release(3, **BAD))),
    }[damage]
    scorer.copy.save(content)
    assert await scorer.start() == 0
    assert (tmp_path / "scorer.release.broken").exists() == (damage != "bad graphs")
    await scorer.offer(release(1))
    await scorer.activator.activate_next()
    assert scorer.recommender.model_version == 1


async def test_many_refused_releases_are_one_line_and_stop_nothing(tmp_path: Path) -> None:
    scorer = Activating(tmp_path)
    before = _refused("bad_signature")
    forged = {**release(1), "signature": "0" * 64}
    with capture_logs() as logs:
        for _ in range(500):
            await scorer.offer(forged)
        await scorer.offer(release(1, metrics={"acted_at": float("nan")}))
    assert _refused("bad_signature") - before == 500
    assert [(line["event"], line["reason"]) for line in logs] == [
        ("release_refused", "bad_signature"),
        ("release_refused", "bad_release"),
    ]


def _refused(reason: str) -> float:
    return REGISTRY.get_sample_value("eddy_scorer_refused_releases_total", {"reason": reason}) or 0.0
