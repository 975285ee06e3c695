"""What a joiner holds is bounded by its windows: a month of users who come and go, some of them erased, ends with flat memory."""

import random
from collections import deque
from dataclasses import replace
from typing import Any

import pytest

from tests.joiner.factories import random_activity
from tests.joiner.simulation import SimulatedPartition, SimulatedWorker

pytestmark = pytest.mark.unit

STEPS = 900
DAY_MS = 86_400_000
CONTAINERS = (dict, list, set, frozenset, tuple, deque)


def held(value: Any, known: set[int] | None = None) -> int:
    """The number of objects in all containers and fields below `value`, each once."""
    known = set() if known is None else known
    if id(value) in known or isinstance(value, str | bytes | int | float | None):
        return 0
    known.add(id(value))
    if isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
    elif isinstance(value, CONTAINERS):
        parts = list(value)
    else:
        slots = [name for each in type(value).__mro__ for name in getattr(each, "__slots__", ())]
        fields = [getattr(value, name) for name in slots if hasattr(value, name)]
        parts = [*fields, *getattr(value, "__dict__", {}).values()]
    return len(parts) + sum(held(part, known) for part in parts)


async def test_a_month_of_churn_ends_with_flat_memory() -> None:
    activity = random_activity(3, STEPS, users=10**9, step_ms=60 * DAY_MS // STEPS, disorder=0.0)
    assert activity.slates[-1]["requested_at"] - activity.slates[0]["requested_at"] > 27 * DAY_MS
    partition, rng = SimulatedPartition.of(activity), random.Random(0)
    for offset, message in enumerate(partition.events):
        if rng.random() < 0.1:
            partition.events[offset] = replace(message, value=b"", tombstone=True)
    worker = SimulatedWorker(partition)
    await worker.start(0)
    sizes = []
    for step in range(30, STEPS + 1, 30):
        events = [*activity.events_before, len(partition.events)][step]
        await worker.step(events - worker.position, step)
        worker.commit()
        sizes.append(held(worker.state))
    assert len({message.key for message in partition.events}) > 600
    assert max(sizes[20:]) <= 1.5 * max(sizes[2:10])
