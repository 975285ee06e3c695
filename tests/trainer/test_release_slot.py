"""The slot of the newest release: one trainer writes it, and nothing else keeps it."""

from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import onnx
import pytest

from eddy.contract.codec import Codec
from eddy.contract.message import Message
from eddy.contract.releases import sign_release
from eddy.contract.topics import MODEL_RELEASES
from eddy.errors import PoisonError
from tests.poll import poll_until
from tests.release_keys import KEYS, OTHER_KEY, SIGNING_KEY
from tests.scorer.graphs import encode_graph, rank_graph
from tests.trainer.environment import TrainerCluster, events_of

pytestmark = pytest.mark.stack

CODEC = Codec.for_topic(MODEL_RELEASES)


async def _authentic(cluster: TrainerCluster) -> list[tuple[Message, int]]:
    """All authentic releases, with their versions."""
    releases = []
    for message in await cluster.all_messages(MODEL_RELEASES):
        try:
            record = CODEC.decode(message.value)
            KEYS.check(record, message.key)
        except PoisonError:
            continue
        releases.append((message, record["version"]))
    return releases


async def test_forged_releases_are_overwritten_with_the_newest_genuine_one(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path
) -> None:
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    async with cluster.trainer_with_release(30) as trainer:
        newest, version = (await _authentic(cluster))[-1]
        genuine: Any = CODEC.decode(newest.value)
        forged = [
            b"junk",
            CODEC.encode({**genuine, "version": version + 1}),
            *(CODEC.encode(sign_release({**genuine, "version": 2**40 + n}, OTHER_KEY)) for n in range(3)),
            (await _authentic(cluster))[0][0].value,  # an older genuine one, as it was
            b"",
        ]
        for value in forged:
            await cluster.publish(MODEL_RELEASES, [("champion", value)])

        async def is_restored() -> bool:
            return (await cluster.all_messages(MODEL_RELEASES))[-1].value == newest.value

        await poll_until(is_restored, 20, 0.2, what="the genuine release in its slot")
        await poll_until(
            lambda: trainer.metric("eddy_trainer_refused_releases_total", "bad_signature") >= 4,
            20,
            0.2,
            what="all forged releases refused",
        )
        await poll_until(is_restored, 20, 0.2, what="the genuine release in its slot again")
        assert trainer.metric("eddy_trainer_restored_releases_total") >= 1
        assert trainer.stop() == 0
        # Overwritten while no trainer runs, and compacted: the local copy remembers.
        await cluster.publish(MODEL_RELEASES, [("champion", b"junk")] * 30)
    with cluster.trainer() as trainer:
        await poll_until(is_restored, 60, 0.5, what="the genuine release in its slot after a restart")
        await poll_until(trainer.is_ready, what="ready")
        await cluster.publish_examples(events_of(30, first=30))
        await poll_until(lambda: trainer.metric("eddy_trainer_releases_total") > 0, 30, what="a release")
    versions = [version for _, version in await _authentic(cluster)]
    assert max(versions) < 1000
    assert versions[-1] == version + 1 or versions[-1] > version
    assert cluster.logs().count("bad_signature") == 2  # one line in each process


async def test_a_second_trainer_fences_the_first(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path
) -> None:
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    await cluster.bus.create_topics()
    with cluster.trainer(release_interval_sec="0.1") as first:
        await poll_until(first.is_ready, what="ready on empty topics")
        await cluster.publish_examples(events_of(40))
        await cluster.released_all()
        with cluster.trainer(release_interval_sec="0.1") as second:
            start = 40
            while first.process.poll() is None or not second.is_ready():
                await cluster.publish_examples(events_of(10, first=start))
                start += 10
                assert start < 3000, cluster.logs()
                await poll_until(lambda: True, 1, 0.2)
            assert first.process.returncode == 1
            assert "another trainer has started to publish releases" in first.log.read_text().splitlines()[-1]
            await cluster.publish_examples(events_of(20, first=start))
            await cluster.released_all()
            assert second.process.poll() is None
    versions = [cast("int", release["version"]) for release in await cluster.releases()]
    assert len(versions) > 2
    assert all(after == before + 1 for before, after in pairwise(versions)), versions


async def test_a_trainer_takes_no_graph_from_the_topic(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path
) -> None:
    """Neither from a record that is signed, nor from its own copy: it releases what it traced itself."""
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    async with cluster.trainer_with_release(30) as trainer:
        assert trainer.stop() == 0
    newest, version = (await _authentic(cluster))[-1]
    genuine: Any = CODEC.decode(newest.value)
    other = {**genuine, "version": version + 100, "encode": encode_graph(), "rank": rank_graph(bias=9.0)}
    signed = CODEC.encode(sign_release(cast("Any", other), SIGNING_KEY))
    await cluster.publish(MODEL_RELEASES, [("champion", signed)])
    for copy in cluster.state.glob("trainer-*.release"):
        copy.write_bytes(signed)
    with cluster.trainer() as trainer:
        await poll_until(trainer.is_ready, what="ready")
        await cluster.publish_examples(events_of(30, first=30))
        await poll_until(lambda: trainer.metric("eddy_trainer_releases_total") > 0, 60, what="a release")
    record: Any = CODEC.decode((await _authentic(cluster))[-1][0].value)
    assert record["version"] > version + 100
    for name in ("encode", "rank"):
        assert operators_of(record[name]) == operators_of(genuine[name]) != operators_of(other[name])


def operators_of(graph: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(graph).graph.node]
