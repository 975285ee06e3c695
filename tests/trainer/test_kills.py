"""SIGKILL at random moments, with the checkpoint and on an empty disk: offsets, versions and books as if nothing had happened."""

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
from tests.trainer.environment import TrainerEnvironment, assert_releases_hold, events_of
from tests.trainer.factories import learner

pytestmark = pytest.mark.stack

KILLS = 4
EVENTS_PER_LIFE = 150
USERS = 12
QUICK = {"release_interval_sec": "0.2", "checkpoint_interval_sec": "0.4"}


async def test_learning_survives_kills(kafka: str, topic_prefix: str, tmp_path: Path, traced_folder: Path) -> None:
    """The disk is kept after the even lives and lost after the odd ones."""
    place = TrainerEnvironment(kafka, topic_prefix, tmp_path, traced_folder)
    await place.bus.create_topics()
    await place.publish_items(30)
    chance = random.Random(topic_prefix)
    events = events_of(EVENTS_PER_LIFE * (KILLS + 1), users=USERS)
    portion = len(events) // (KILLS + 1)
    for life in range(KILLS):
        await place.publish_examples(events[life * portion : (life + 1) * portion])
        with place.trainer(**QUICK) as trainer:
            await _has_learned(trainer, chance.randrange(1, portion))
            trainer.kill()
        if life % 2:
            place.empty_disk()
    await place.publish_examples(events[KILLS * portion :])
    ends = await place.ends(TRAINING_EXAMPLES)
    with place.trainer(**QUICK):
        await poll_until(place.newest_covers_all, 60, what="a release that learned from all examples")
        await poll_until(lambda: _saved_through(place) == ends, what="a checkpoint of it")
    await assert_releases_hold(place)
    saved = _saved_learner(place)
    assert saved.examples == len(events), place.logs()
    for user in range(USERS):
        assert _items_of(saved, user) == _published(user), place.logs()


async def _has_learned(trainer: Service, records: int) -> None:
    """Wait until that many records of this life were learned from, or it has nothing left to learn."""

    def learned() -> bool:
        seen = sum(trainer.metric("eddy_trainer_examples_total", f'kind="{kind}"') for kind in ("next_item", "label"))
        return seen >= records or trainer.is_ready()

    await poll_until(learned, 60, interval_sec=0.01, what=f"{records} examples learned from")


def _saved_through(place: TrainerEnvironment) -> list[int] | None:
    saved = read_checkpoint(place.checkpoint, DEFAULT_MODEL)
    return saved.offsets[TRAINING_EXAMPLES] if saved is not None else None


def _saved_learner(place: TrainerEnvironment) -> Learner:
    saved = read_checkpoint(place.checkpoint, DEFAULT_MODEL)
    assert saved is not None
    restored = learner(items=0)
    restored.restore(saved.learner)
    return restored


def _items_of(saved: Learner, user: int) -> list[str]:
    """The user's sequence as far as one window shows it."""
    slot = saved.encoder.sequences.slot_of(f"u{user}")
    windows = saved.encoder.sequences.windows(np.array([slot]))
    return [saved.encoder.table.ids[row] for row in windows.targets[0]]


def _published(user: int) -> list[str]:
    numbers = range(user, EVENTS_PER_LIFE * (KILLS + 1), USERS)
    return [f"m{number * 7 % 40}" for number in numbers][-50:]
