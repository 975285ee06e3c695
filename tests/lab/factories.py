"""Streams and data sets that a model can learn."""

import random
from dataclasses import replace

import numpy as np

from eddy_cli.datasets import CatalogueItem, Dataset
from eddy_cli.replay.stream import Stream
from tests.cli.streams import stream

ITEMS = 60
EVENTS = 2400
WALKERS, WALK_ITEMS, WALK_STEPS = 200, 40, 20


def walks(seed: int, events: int = EVENTS) -> Stream:
    """Users come one after another. Each walks through half of the items in order, from a random start."""
    generator, users, items = random.Random(seed), [], []
    for event in range(events):
        if event % 30 == 0:
            start = generator.randrange(ITEMS)
        users.append(event // 30)
        items.append((start + event % 30) % ITEMS)
    return stream(users, items, step_ms=60_000)


def rated_walks(events: int = EVENTS) -> Stream:
    """Items with even numbers are rated 5, the others 1."""
    walked = walks(3, events)
    return replace(walked, values=[5.0 if item % 2 == 0 else 1.0 for item in walked.items])


def twice(once: Stream) -> Stream:
    """Every event occurs twice in a row; none has a rating."""
    return replace(
        once,
        users=np.repeat(once.users, 2).tolist(),
        items=np.repeat(once.items, 2).tolist(),
        values=[None] * 2 * len(once),
        times_ms=np.repeat(once.times_ms, 2).tolist(),
    )


def walker_data() -> Dataset:
    """Each user walks twenty steps through forty items from a start of their own."""
    users = np.repeat(np.arange(WALKERS), WALK_STEPS)
    items = (users * 7 + np.tile(np.arange(WALK_STEPS), WALKERS)) % WALK_ITEMS
    return Dataset(
        name="walkers",
        user_ids=[f"u{number}" for number in range(WALKERS)],
        item_ids=[f"i{number}" for number in range(WALK_ITEMS)],
        users=users.astype(np.int32),
        items=items.astype(np.int32),
        values=np.full(len(users), 4, np.float32),
        times_ms=np.tile(np.arange(WALK_STEPS), WALKERS) * 60_000,
        catalogue=[CatalogueItem(f"i{number}") for number in range(WALK_ITEMS)],
    )
