"""Metrics, log events, TensorBoard and /readyz of the trainer. The only module of the shell that writes them."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import structlog

from eddy.clock import Clock
from eddy.contract.topics import TRAINING_EXAMPLES
from eddy.errors import PoisonError
from eddy.kafka.bus import KafkaError
from eddy.metrics import (
    CHECKPOINT_SECONDS,
    DECLINED_INTERACTIONS,
    EMBEDDINGS_PUBLISHED,
    ENCODER_HR,
    ENCODER_LOSS,
    ENCODER_NDCG,
    EXAMPLES,
    HELD_RELEASES,
    HOP_SECONDS,
    LAG,
    PROGRESSIVE_AUC,
    PROGRESSIVE_CALIBRATION,
    PROGRESSIVE_HR,
    PROGRESSIVE_LOG_LOSS,
    PROGRESSIVE_NDCG,
    PROGRESSIVE_NEXT_ITEM_LOSS,
    RELEASE_SECONDS,
    RELEASES,
    RESTORED_RELEASES,
    ROLLED_BACK_RELEASES,
    SHED_REHEARSAL_STEPS,
    STAGE_SECONDS,
    STEPS,
    TRAINER_REFUSED_RELEASES,
    TRAINER_VERSION,
)
from eddy.runtime import Health
from eddy_trainer.core.examples import Example
from eddy_trainer.core.learner import Learner, Rollback
from eddy_trainer.core.online_trainer import StepResult
from eddy_trainer.core.release import HeldRelease, Release
from eddy_trainer.core.release_gate import NOT_A_NUMBER, REASONS_TO_HOLD, REASONS_TO_ROLL_BACK
from eddy_trainer.shell.monitoring import Profiler, TensorBoard
from eddy_trainer.shell.releases import PublishedRelease
from eddy_trainer.shell.topic_intake import SERVICE

log = structlog.get_logger()
T = TypeVar("T")

REFUSAL_LOG_SEC = 60.0

_TRAINING_DELAY, _PUBLISH_DELAY = HOP_SECONDS.labels("training_delay"), HOP_SECONDS.labels("publish_delay")

# Create the labels at 0: Prometheus sees no increase in a counter that appears with 1.
for _reason in REASONS_TO_HOLD:
    HELD_RELEASES.labels(_reason)
for _reason in REASONS_TO_ROLL_BACK:
    ROLLED_BACK_RELEASES.labels(_reason)


class Observer:
    """Receives all events of the training loop, in order."""

    def __init__(self, health: Health, clock: Clock, board: TensorBoard, profiler: Profiler) -> None:
        self._health = health
        self._clock = clock
        self._board = board
        self._profiler = profiler
        self._refusal_logged_at: dict[str, float] = {}

    def beat(self) -> None:
        """Record progress of the loop."""
        self._health.beat()

    @property
    def caught_up(self) -> bool:
        """Whether the trainer was ready before."""
        return self._health.ready

    def ready(self, learner: Learner) -> None:
        """Record that everything in the topics at the start is trained on."""
        self._health.ready = True
        log.info("caught_up", examples=learner.examples)

    def recovered(self, learner: Learner, offsets: Sequence[int]) -> None:
        log.info("recovered", examples=learner.examples, offsets=offsets)

    def lags(self, by_partition: Sequence[int]) -> None:
        """Record the number of unread examples of each partition."""
        for partition, records in enumerate(by_partition):
            LAG.labels(SERVICE, TRAINING_EXAMPLES, partition).set(records)
        self._health.details["trained_through_lag"] = sum(by_partition)

    def timed(self, stage: str, work: Callable[[], T]) -> T:
        """Time the work of a stage: `read`, `observe` or `learn`. Profiles a training step if requested."""
        with STAGE_SECONDS.labels(SERVICE, stage).time():
            return self._profiler.run(work) if stage == "learn" else work()

    def observed(self, examples: Sequence[Example]) -> None:
        for example in examples:
            EXAMPLES.labels(example.kind).inc()

    def rolled_back(self, rollback: Rollback, newest: int) -> None:
        """Record a rollback. `newest` is the version of the newest release."""
        ROLLED_BACK_RELEASES.labels(rollback.reason).inc()
        log.warning("rolled_back", reason=rollback.reason, newest=newest, to_version=rollback.version)

    def stepped(self, learner: Learner, step: StepResult, now_ms: int) -> None:
        report = step.report
        STEPS.labels("encoder").inc(report.encoder_steps)
        STEPS.labels("ranker").inc(report.ranker_steps)
        SHED_REHEARSAL_STEPS.inc(report.shed_steps)
        for each in step.timestamps:
            _TRAINING_DELAY.observe((now_ms - each.labelled_at) / 1000)
        for scenario, comparison in learner.scenario_windows.compare().items():
            PROGRESSIVE_LOG_LOSS.labels(scenario, "candidate").set(comparison.candidate)
            PROGRESSIVE_LOG_LOSS.labels(scenario, "serving").set(comparison.serving)
        PROGRESSIVE_NEXT_ITEM_LOSS.set(learner.next_item_window.compare().candidate)
        for scenario, figures in learner.quality.figures().items():
            PROGRESSIVE_AUC.labels(scenario).set(figures.auc)
            PROGRESSIVE_CALIBRATION.labels(scenario).set(figures.calibration)
            PROGRESSIVE_NDCG.labels(scenario).set(figures.ndcg)
            PROGRESSIVE_HR.labels(scenario).set(figures.hr)
        judge = learner.encoder_judge
        for group, comparison in judge.compare_groups().items():
            ENCODER_LOSS.labels(group.scenario, group.users, "candidate").set(comparison.candidate)
            ENCODER_LOSS.labels(group.scenario, group.users, "serving").set(comparison.serving)
        for group, encoder in judge.figures().items():
            ENCODER_NDCG.labels(group.scenario, group.users).set(encoder.ndcg)
            ENCODER_HR.labels(group.scenario, group.users).set(encoder.hr)
        DECLINED_INTERACTIONS.set(learner.encoder.budgets.declined)
        self._board.write_step(learner, report)

    def held(self, held: HeldRelease, current: bool) -> None:
        """Record a held release; log it if it is `current`, that is not outdated by a rollback."""
        for reason in held.reasons:
            HELD_RELEASES.labels(reason).inc()
        if current:
            log.warning("release_held", reasons=",".join(held.reasons), **held.capture.metrics())

    def releasing(self) -> AbstractContextManager[Any]:
        """Return a timer for judging and publishing a release."""
        return RELEASE_SECONDS.time()

    def saving(self) -> AbstractContextManager[Any]:
        """Return a timer for writing a checkpoint."""
        return CHECKPOINT_SECONDS.time()

    def released(self, release: Release, published: PublishedRelease) -> None:
        version = published.version
        RELEASES.inc()
        EMBEDDINGS_PUBLISHED.inc(published.rows)
        self._health.details["version"] = version
        TRAINER_VERSION.set(version)
        _PUBLISH_DELAY.observe((self._clock.now_ms() - release.capture.learned_at) / 1000)
        log.info("released", version=version, rows=published.rows, examples=release.capture.examples)

    def project_items(self, release: Release, version: int) -> None:
        """Write item vectors for TensorBoard. Slow; call it in a thread."""
        self._board.write_items(release.weights, version)

    def release_refused(self, error: PoisonError) -> None:
        """Record a record of the topic that is no authentic release; logged once a minute and reason."""
        TRAINER_REFUSED_RELEASES.labels(error.reason).inc()
        now = time.monotonic()
        if now - self._refusal_logged_at.get(error.reason, -REFUSAL_LOG_SEC) >= REFUSAL_LOG_SEC:
            self._refusal_logged_at[error.reason] = now
            log.warning("release_refused", reason=error.reason, detail=error.detail[:200])

    def release_restored(self, version: int) -> None:
        """Record that the newest release was published again, because something else had overwritten it."""
        RESTORED_RELEASES.inc()
        log.warning("release_restored", version=version)

    def release_failed(self, error: KafkaError) -> None:
        log.warning("release_failed", error=repr(error))

    def not_a_number(self) -> None:
        """Record that the model contains NaN and the last checkpoint is restored instead of saving."""
        HELD_RELEASES.labels(NOT_A_NUMBER).inc()
        log.error("model_has_nan")
