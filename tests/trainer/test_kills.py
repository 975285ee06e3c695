"""SIGKILL at random moments, with the checkpoint and with an empty disk: offsets, versions and sequences as without kills."""

import random
from pathlib import Path

import numpy as np
import pytest

from eddy.contract.topics import TRAINING_EXAMPLES
from eddy_trainer.core.learner import Learner
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.shell.checkpoint import read_checkpoint
from tests.poll import poll_until
from tests.service import Service
from tests.trainer.environment import TrainerCluster, assert_releases_are_consistent, events_of
from tests.trainer.factories import learner

pytestmark = pytest.mark.stack

KILLS = 4
EVENTS_PER_RUN = 150
USERS = 12
QUICK = {"release_interval_sec": "0.2", "checkpoint_interval_sec": "0.4"}


async def test_training_survives_kills(kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path) -> None:
    """The state folder is kept after even runs and deleted after odd ones."""
    cluster = TrainerCluster(kafka, topic_prefix, tmp_path, traced_folder)
    await cluster.bus.create_topics()
    await cluster.publish_items(30)
    rng = random.Random(topic_prefix)
    events = events_of(EVENTS_PER_RUN * (KILLS + 1), users=USERS)
    portion = len(events) // (KILLS + 1)
    for run in range(KILLS):
        await cluster.publish_examples(events[run * portion : (run + 1) * portion])
        with cluster.trainer(**QUICK) as trainer:
            await _wait_until_trained(trainer, rng.randrange(1, portion))
            trainer.kill()
        if run % 2:
            cluster.empty_disk()
    await cluster.publish_examples(events[KILLS * portion :])
    ends = await cluster.ends(TRAINING_EXAMPLES)
    with cluster.trainer(**QUICK):
        await cluster.released_all(60)
        await poll_until(lambda: _saved_through(cluster) == ends, what="a checkpoint of it")
    await assert_releases_are_consistent(cluster)
    saved = _saved_learner(cluster)
    assert saved.examples == len(events), cluster.logs()
    for user in range(USERS):
        assert _items_of(saved, user) == _published(user), cluster.logs()


async def _wait_until_trained(trainer: Service, records: int) -> None:
    """Wait until the trainer has processed that many records, or all of them."""

    def trained() -> bool:
        seen = sum(trainer.metric("eddy_trainer_examples_total", f'kind="{kind}"') for kind in ("next_item", "label"))
        return seen >= records or trainer.is_ready()

    await poll_until(trained, 60, interval_sec=0.01, what=f"{records} examples in training")


def _saved_through(cluster: TrainerCluster) -> list[int] | None:
    saved = read_checkpoint(cluster.checkpoint, DEFAULT_MODEL)
    return saved.offsets[TRAINING_EXAMPLES] if saved is not None else None


def _saved_learner(cluster: TrainerCluster) -> Learner:
    saved = read_checkpoint(cluster.checkpoint, DEFAULT_MODEL)
    assert saved is not None
    restored = learner(items=0)
    restored.restore(saved.learner)
    return restored


def _items_of(saved: Learner, user: int) -> list[str]:
    """Return the user's sequence as far as one window covers it, and the last interaction. `targets` holds those alone that are taught."""
    sequences = saved.encoder.sequences
    past = sequences.past(f"u{user}")
    window = sequences.windows(np.array([sequences.slot_of(f"u{user}")])).rows[0]
    return [saved.encoder.table.ids[row] for row in [*window, past.rows[past.times.argmax()]]]


def _published(user: int) -> list[str]:
    numbers = range(user, EVENTS_PER_RUN * (KILLS + 1), USERS)
    return [f"m{number * 7 % 40}" for number in numbers][-51:]
