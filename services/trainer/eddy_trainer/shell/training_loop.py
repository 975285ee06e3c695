"""The training loop: reads input, and decides when to train, release and save."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import structlog

from eddy.clock import Clock
from eddy.set_aside import remove_set_aside
from eddy_trainer.core.effort import Effort, PacePolicy, effort_for, is_due
from eddy_trainer.core.examples import Example
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.shell.checkpoint_store import CheckpointStore
from eddy_trainer.shell.inputs import Inputs
from eddy_trainer.shell.observer import Observer
from eddy_trainer.shell.release_task import ReleaseTask
from eddy_trainer.shell.releases import ReleasePublisher

log = structlog.get_logger()
T = TypeVar("T")

SAVE_ERASURE_SEC = 1.0  # until the checkpoint forgets what was erased
TEXTS_PER_ITERATION = 8  # about 60 ms, the longest that examples wait for texts


@dataclass(frozen=True, slots=True)
class TrainingLoopPolicy:
    """Intervals of training and checkpoints. Releases are timed by the trainer's ReleaseSchedule."""

    checkpoint_path: Path
    checkpoint_interval_sec: float = 30.0
    pace: PacePolicy = field(default_factory=PacePolicy)
    user_expiry_days: float = 365.0
    item_expiry_days: float = 365.0


class TrainingLoop:
    """Feeds an OnlineTrainer from two topics, publishes its releases, and saves checkpoints."""

    def __init__(
        self,
        policy: TrainingLoopPolicy,
        trainer: OnlineTrainer,
        inputs: Inputs,
        publisher: ReleasePublisher,
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._policy = policy
        self._trainer = trainer
        self._inputs = inputs
        self._checkpoints = CheckpointStore(policy.checkpoint_path, trainer, inputs, observer)
        self._releases = ReleaseTask(trainer, publisher, observer)
        self._observer = observer
        self._clock = clock
        self._untrained_since = 0.0
        self._saved_at = time.monotonic()

    async def run(self) -> None:
        """Recover, catch up, and continue until cancelled."""
        try:
            await self._run()
        finally:
            await self._releases.stop()

    async def _run(self) -> None:
        await self._checkpoints.recover()
        ends = await self._inputs.examples.ends()
        self._trainer.schedule.cap_floor(list(ends.values()))
        if not self._releases.version and self._trainer.learner.examples:
            self._trainer.schedule.release_now()
        while True:
            await self._once()
            if not self._observer.caught_up and await self._inputs.examples.reached(ends):
                self._observer.ready(self._trainer.learner)

    async def _once(self) -> None:
        self._observer.beat()
        learner, pace = self._trainer.learner, self._policy.pace
        items = await self._inputs.read_items()
        learner.admit(items)
        if any(item.deleted for item in items):
            self._save_soon()
        batch = await self._inputs.read_examples()
        by_partition = self._inputs.examples.lag_by_partition()
        self._observer.lags(by_partition)
        lag = sum(by_partition)
        if learner.pending_texts and lag < pace.shed_rehearsal_lag:
            await self._in_thread("read", partial(learner.embed_texts, TEXTS_PER_ITERATION))
        if batch.erased:
            await self._forget(batch.erased)
        await self._observe(batch.examples)
        if not learner.untrained:
            self._trainer.schedule.read_through(self._inputs.examples.next_offsets)
        effort = effort_for(lag, pace)
        if is_due(learner.untrained, time.monotonic() - self._untrained_since, effort, pace):
            await self._train(effort)
        if batch.examples:
            await self._expire()
        unpublished = learner.unpublished_deletions
        await self._releases.advance(time.monotonic())
        if unpublished and not learner.unpublished_deletions:
            self._save_soon()  # without their ids
        if time.monotonic() - self._saved_at >= self._policy.checkpoint_interval_sec:
            self._saved_at = time.monotonic()
            await self._checkpoints.save()

    async def _expire(self) -> None:
        policy = self._policy
        users, items = await self._in_thread(
            "expire", partial(self._trainer.learner.expire, policy.user_expiry_days, policy.item_expiry_days)
        )
        if users or items:
            log.info("expired", users=users, items=items)

    async def _forget(self, user_ids: list[str]) -> None:
        """Forget users, in the checkpoint too."""
        await self._in_thread("forget", partial(self._trainer.learner.forget, user_ids))
        self._save_soon()

    def _save_soon(self) -> None:
        """Save a checkpoint within SAVE_ERASURE_SEC, so that it forgets what was erased. One that was set aside cannot, and is deleted."""
        remove_set_aside(self._policy.checkpoint_path)
        self._saved_at = min(self._saved_at, time.monotonic() + SAVE_ERASURE_SEC - self._policy.checkpoint_interval_sec)

    async def _observe(self, examples: list[Example]) -> None:
        if not examples:
            return
        if not self._trainer.learner.untrained:
            self._untrained_since = time.monotonic()
        rollback = await self._in_thread("observe", partial(self._trainer.observe, examples))
        self._observer.observed(examples)
        if rollback is not None:
            self._observer.rolled_back(rollback, self._releases.version)

    async def _train(self, effort: Effort) -> None:
        through = tuple(self._inputs.examples.next_offsets)
        result = await self._in_thread("learn", partial(self._trainer.step, effort, through))
        self._trainer.learned_at_ms = self._clock.now_ms()
        self._observer.stepped(self._trainer.learner, result, self._trainer.learned_at_ms)

    async def _in_thread(self, stage: str, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(self._observer.timed, stage, work)
