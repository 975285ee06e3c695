"""The trainer on a real broker: examples in, releases out."""

import asyncio
import json
import signal
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import REGISTRY
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from eddy.contract.model import DIM
from eddy.contract.topics import ITEM_EMBEDDINGS, ITEMS, TRAINING_EXAMPLES
from eddy.runtime import Health
from eddy_cli.ports import free_port
from eddy_scorer.core.model.graphs import OnnxModel
from eddy_trainer import app
from tests.poll import poll_until
from tests.trainer.environment import TrainerCluster, assert_releases_are_consistent, events_of
from tests.trainer.factories import CLICK, VIDEO, Record, example_record, features
from tests.trainer.regressing import RegressingLearner

pytestmark = pytest.mark.stack


async def test_examples_become_releases(kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path) -> None:
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    await cluster.bus.create_topics()
    await cluster.publish_items(40)
    with cluster.trainer(release_interval_sec="0.2") as trainer:
        await poll_until(trainer.is_ready, what="ready on empty topics")
        assert await cluster.releases() == []
        for first in (0, 100, 200):
            if first == 200:
                await cluster.delete_item("m39")  # among the items of the last events too
            await cluster.publish_examples(events_of(100, first=first))
            await cluster.released_all()
        assert trainer.metric("eddy_trainer_examples_total", 'kind="next_item"') == 300
        assert trainer.metric("eddy_trainer_examples_total", 'kind="label"') == 300
        assert trainer.metric("eddy_trainer_releases_total") == len(await cluster.releases())
        assert trainer.stop() == 0
    await assert_releases_are_consistent(cluster)
    releases = await cluster.releases()
    assert len(releases) >= 3
    # Each partition ends with the marker of the transaction that wrote its last row.
    ends = await cluster.ends(ITEM_EMBEDDINGS)
    assert [offset + 1 for offset in releases[-1]["embedding_offsets"]] == ends
    assert 0 < releases[-1]["metrics"]["progressive_log_loss"] < 5
    vectors = {row["item_id"]: np.frombuffer(row["vector"], "<f4") for _, row in await cluster.rows()}
    assert vectors.keys() == {f"m{number}" for number in range(40)}
    last = {message.key: message.value for message in await cluster.all_messages(ITEM_EMBEDDINGS)}
    assert [key for key, value in last.items() if not value] == [b"m39"]
    assert all(vector.shape == (DIM,) and abs(np.linalg.norm(vector) - 1) < 1e-3 for vector in vectors.values())


async def test_a_trainer_without_a_checkpoint_does_not_learn_a_deleted_item_from_old_examples(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path
) -> None:
    """It reads all items, and the tombstones among them, before the first example; a former trainer may have published the item."""
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    await cluster.bus.create_topics()
    await cluster.publish_items(40)
    await cluster.publish_examples(events_of(60))
    await cluster.publish(ITEM_EMBEDDINGS, [("m7", b"of a former trainer")])
    await cluster.delete_item("m7")
    with cluster.trainer(release_interval_sec="0.2", checkpoint_interval_sec="1"):
        await cluster.released_all()

        async def newest() -> bytes:
            return [each.value for each in await cluster.all_messages(ITEM_EMBEDDINGS) if each.key == b"m7"][-1]

        async def deleted() -> bool:
            return not await newest()

        await poll_until(deleted, what="the embedding is deleted")
        await cluster.publish_examples(events_of(60, first=60))
        await cluster.released_all()
        assert not await newest()


async def test_a_single_example_is_released_soon(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path
) -> None:
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    async with cluster.trainer_with_release(1) as trainer:
        assert trainer.metric("eddy_trainer_examples_total") == 2


async def test_unusable_records_are_dead_lettered(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path
) -> None:
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    await cluster.bus.create_topics()
    await cluster.publish(ITEMS, [("m1", b"\x00\xff"), ("m2", b"")])
    await cluster.publish(TRAINING_EXAMPLES, [("u", b"\xc3\x01 nonsense"), ("u", b"")])
    await cluster.publish_examples(
        [
            example_record("label", contract="another", feature_names=[]),
            example_record(considered_features=b"short"),
            *events_of(30),
        ]
    )
    with cluster.trainer() as trainer:
        await cluster.released_all()
        assert trainer.metric(
            "eddy_dead_letters_total", 'reason="contract_mismatch",service="trainer",topic="training-examples"'
        )
    reasons = sorted((topic, reason) for topic, _, _, reason in await cluster.dead_letters())
    assert reasons == [
        ("items", "undecodable"),
        ("training-examples", "bad_features"),
        ("training-examples", "contract_mismatch"),
        ("training-examples", "undecodable"),
        ("training-examples", "undecodable"),
    ]


async def test_too_many_unusable_examples_in_a_row_stop_the_trainer(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path
) -> None:
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    await cluster.bus.create_topics()
    await cluster.publish(TRAINING_EXAMPLES, [("u", b"junk")] * 5)
    with cluster.trainer(poison_limit=5) as trainer:
        await poll_until(lambda: trainer.process.poll() is not None, 90, what="its exit")
    line = cluster.logs().splitlines()[-1]
    assert trainer.process.returncode == 1, cluster.logs()
    assert line.startswith("trainer: 5 consecutive unusable records: topic training-examples, partition ")
    assert "offsets 0 to 4; most frequent reason: undecodable" in line
    assert len(await cluster.dead_letters()) == 5


async def test_a_regressed_release_is_rolled_back(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    await cluster.bus.create_topics()
    await cluster.publish_items(40)
    monkeypatch.setattr(app, "Learner", RegressingLearner)
    settings = cluster.settings(trainer_release_interval_sec="0.1", trainer_http_port=str(free_port()))
    serving = asyncio.create_task(app.serve(settings, Health()))
    try:
        for first in range(0, 1000, 20):
            await cluster.publish_examples(events_of(20, first=first))
            await asyncio.sleep(0.05)
        await cluster.released_all()
        assert _rolled_back() == 0
        monkeypatch.setattr(RegressingLearner, "regresses_after", 2000)
        first = 1000
        while not _rolled_back():
            await cluster.publish_examples(events_of(20, first=first))
            first += 20
            assert first < 5000
            await asyncio.sleep(0.05)
        await cluster.publish_examples(events_of(100, first=first))
        await cluster.released_all()
    finally:
        serving.cancel()
        with suppress(asyncio.CancelledError):
            await serving
    await assert_releases_are_consistent(cluster)
    correct = [_ranks_first(release) for release in await cluster.releases()]
    assert False in correct
    assert correct[-1]
    assert _rolled_back() == 1


def _ranks_first(release: Record) -> bool:
    """Whether a release predicts the highest probability for the first item, which is always clicked."""
    probabilities = OnnxModel.load(release).rank(features(5)[None].astype(np.float32), np.array([VIDEO]))[1]
    return int(probabilities[0, :, CLICK].argmax()) == 0


def _rolled_back() -> float:
    return REGISTRY.get_sample_value("eddy_trainer_rolled_back_releases_total", {"reason": "log_loss"}) or 0.0


async def test_tensorboard_and_profiles_are_written(
    kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path
) -> None:
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    await cluster.bus.create_topics()
    await cluster.publish_items(40)
    with cluster.trainer(release_interval_sec="0.2", tensorboard_dir=str(tmp_path / "board")) as trainer:
        await poll_until(trainer.is_ready, what="ready on empty topics")
        trainer.process.send_signal(signal.SIGUSR1)
        await cluster.publish_examples(events_of(100))
        await cluster.released_all()
        traces = await poll_until(lambda: list(cluster.state.glob("trainer-profile-*.json")), what="a profile")
        await poll_until(lambda: list((tmp_path / "board").glob("*/items/tensors.tsv")), what="item vectors")
        assert trainer.stop() == 0
    assert any(event.get("name") == "aten::mm" for event in json.loads(traces[0].read_text())["traceEvents"])
    written = EventAccumulator(str(tmp_path / "board"))
    written.Reload()
    tags = set(written.Tags()["scalars"])
    assert {"loss/next item, encoder", "steps/ranker", "video/AUC", "video/HR at 10"} <= tags
    assert written.Scalars("loss/next item, encoder")[-1].step == 200
