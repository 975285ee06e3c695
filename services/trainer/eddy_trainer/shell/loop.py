"""The trainer's loop: read, judge, learn; release and checkpoint when it is time."""

import asyncio
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import structlog

from eddy.clock import Clock
from eddy.contract.topics import ITEMS, TRAINING_EXAMPLES
from eddy.kafka.bus import KafkaError
from eddy.metrics import (
    CHECKPOINT_SECONDS,
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
    ROLLED_BACK_RELEASES,
    SHED_REHEARSAL_STEPS,
    STAGE_SECONDS,
    STEPS,
    TRAINER_VERSION,
)
from eddy.runtime import Health
from eddy_trainer.core.effort import Effort, PacePolicy, effort_for, is_due
from eddy_trainer.core.examples import Came, Example, ExampleParser
from eddy_trainer.core.gate import (
    NOT_A_NUMBER,
    REASONS_TO_HOLD,
    REASONS_TO_ROLL_BACK,
    Candidate,
    reasons_to_hold,
)
from eddy_trainer.core.graphs import GraphExporter, Graphs
from eddy_trainer.core.learner import Learner, Weights
from eddy_trainer.core.parity import Probe, largest_difference, probe_of
from eddy_trainer.core.progressive import Comparison
from eddy_trainer.shell.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from eddy_trainer.shell.intake import SERVICE, DeadLetters, Intake, read_examples, read_items
from eddy_trainer.shell.releases import Publisher
from eddy_trainer.shell.watched import Profiler, TensorBoard

log = structlog.get_logger()

_LABEL_TO_GRADIENT, _GRADIENT_TO_RELEASE = (
    HOP_SECONDS.labels("training_delay"),
    HOP_SECONDS.labels("publish_delay"),
)

# A counter that begins at 1 has not increased for Prometheus: it begins at 0.
for _reason in REASONS_TO_HOLD:
    HELD_RELEASES.labels(_reason)
for _reason in REASONS_TO_ROLL_BACK:
    ROLLED_BACK_RELEASES.labels(_reason)

READ_TIMEOUT_MS = 20
READ_RECORDS = 1000
TEXTS_A_TURN = 8  # some 60 ms: what users do waits no longer than that for what items say


@dataclass(frozen=True, slots=True)
class LoopPolicy:
    """When things happen."""

    checkpoint_path: Path
    release_interval_sec: float = 0.5
    checkpoint_interval_sec: float = 30.0
    pace: PacePolicy = field(default_factory=PacePolicy)


@dataclass(frozen=True, slots=True)
class _Captured:
    """What a release is made of, at one moment."""

    weights: Weights
    probe: Probe
    labels: Comparison
    lists: Comparison
    by_scenario: dict[str, Comparison]
    trained_through: list[int]
    examples: int
    quality: dict[str, float]  # progressive, of what served until now, by scenario and metric
    life: int
    acted_at: int  # wall clock in milliseconds: the newest action that was learned from, and when
    learned_at: int

    def figures(self) -> dict[str, float]:
        return {
            "progressive_log_loss": self.labels.candidate,
            "progressive_log_loss_serving": self.labels.serving,
            "progressive_next_item_loss": self.lists.candidate,
            "judged_examples": float(self.labels.count),
            "examples": float(self.examples),
            "acted_at": float(self.acted_at),
            **{f"{scenario}/log_loss": each.candidate for scenario, each in self.by_scenario.items()},
            **self.quality,
        }


class Loop:
    """One learner, fed from two topics, released to two. `floor`: what the newest release of former lives had learned through."""

    def __init__(
        self,
        policy: LoopPolicy,
        make_learner: Callable[[], Learner],
        items: Intake,
        examples: Intake,
        letters: DeadLetters,
        parser: ExampleParser,
        publisher: Publisher,
        floor: Sequence[int],
        exporter: GraphExporter,
        health: Health,
        clock: Clock,
        board: TensorBoard,
        profiler: Profiler,
    ) -> None:
        self._board = board
        self._profiler = profiler
        self._policy = policy
        self._clock = clock
        self._came: list[Came] = []  # of what was observed and not yet learned from
        self._acted_at = self._learned_at = 0
        self._make_learner = make_learner
        self._learner = make_learner()
        self._items, self._examples = items, examples
        self._letters, self._parser, self._publisher = letters, parser, publisher
        self._floor = list(floor)
        self._exporter = exporter
        self._health = health
        self._release: asyncio.Task[Weights | None] | None = None
        self._fresh_since = 0.0
        self._life = 0  # how often was rolled back
        self._released_at = self._saved_at = time.monotonic()
        self._learned_since_release = False
        self._learned_through = list(self._examples.next_offsets)  # what was read is not yet learned from

    async def run(self) -> None:
        """Recover, catch up, and go on until cancelled."""
        await self._recover()
        ends = await self._examples.ends()
        self._floor = [min(one, end) for one, end in zip(self._floor, ends.values(), strict=False)]
        while True:
            await self._turn()
            if not self._health.ready and await self._examples.reached(ends):
                self._health.ready = True
                log.info("caught_up", examples=self._learner.examples)

    async def _recover(self) -> None:
        """Go on from the checkpoint, or from the topics' beginnings where there is none."""
        partitions = len(self._examples.next_offsets)
        self._learner = self._make_learner()
        saved = await asyncio.to_thread(read_checkpoint, self._policy.checkpoint_path, self._learner.model)
        if saved is not None:
            self._learner.restore(saved.learner)
        offsets = dict(saved.offsets) if saved is not None else {}
        if self._learner.items_forgotten:
            del offsets[ITEMS]
        for topic, intake in ((ITEMS, self._items), (TRAINING_EXAMPLES, self._examples)):
            await intake.seek(offsets.get(topic, [0] * partitions))
        self._learned_through = list(self._examples.next_offsets)
        log.info("recovered", examples=self._learner.examples, offsets=self._examples.next_offsets)
        ends = await self._items.ends()
        while not await self._items.reached(ends):
            self._health.beat()
            self._learner.admit(await read_items(self._items, self._letters, READ_TIMEOUT_MS))

    async def _turn(self) -> None:
        self._health.beat()
        self._learner.admit(await read_items(self._items, self._letters))
        examples = await read_examples(self._examples, self._letters, self._parser, READ_TIMEOUT_MS, READ_RECORDS)
        waiting = self._report_lag()
        if self._learner.unread and waiting < self._policy.pace.shed_replay_lag:
            with STAGE_SECONDS.labels(SERVICE, "read").time():
                await asyncio.to_thread(self._learner.read, TEXTS_A_TURN)
        await self._observe(examples)
        if not self._learner.fresh:
            self._learned_through = list(self._examples.next_offsets)
        effort = effort_for(waiting, self._policy.pace)
        if is_due(self._learner.fresh, time.monotonic() - self._fresh_since, effort, self._policy.pace):
            await self._learn(effort)
        await self._release_when_due()
        if time.monotonic() - self._saved_at >= self._policy.checkpoint_interval_sec:
            await self._save()

    async def _observe(self, examples: list[Example]) -> None:
        if not examples:
            return
        if not self._learner.fresh:
            self._fresh_since = time.monotonic()
        with STAGE_SECONDS.labels(SERVICE, "observe").time():
            await asyncio.to_thread(self._learner.observe, examples)
        for example in examples:
            EXAMPLES.labels(example.kind).inc()
            self._came.append(example.came)
        if self._learner.went_astray():
            await self._roll_back()

    async def _roll_back(self) -> None:
        """The former ranker is released with the next version, at once; a release that is under way is not published any more."""
        self._life += 1
        back = await asyncio.to_thread(self._learner.roll_back)
        ROLLED_BACK_RELEASES.labels(back.reason).inc()
        log.warning("rolled_back", reason=back.reason, newest=self._publisher.version, to_version=back.version)
        self._learned_since_release, self._released_at = True, -math.inf

    async def _learn(self, effort: Effort) -> None:
        through = list(self._examples.next_offsets)
        with STAGE_SECONDS.labels(SERVICE, "learn").time():
            report = await asyncio.to_thread(self._profiler.around, partial(self._learner.step, effort))
        STEPS.labels("encoder").inc(report.encoder_steps)
        STEPS.labels("ranker").inc(report.ranker_steps)
        SHED_REHEARSAL_STEPS.inc(report.shed_steps)
        for scenario, each in self._learner.scenario_windows.compare().items():
            PROGRESSIVE_LOG_LOSS.labels(scenario, "candidate").set(each.candidate)
            PROGRESSIVE_LOG_LOSS.labels(scenario, "serving").set(each.serving)
        PROGRESSIVE_NEXT_ITEM_LOSS.set(self._learner.list_window.compare().candidate)
        self._learned_since_release, self._learned_through = True, through
        self._note_freshness()
        self._note_quality()
        self._board.learned(self._learner, report)

    def _note_freshness(self) -> None:
        now = self._clock.now_ms()
        for came in self._came:
            _LABEL_TO_GRADIENT.observe((now - came.labelled_at) / 1000)
        self._acted_at = max(self._acted_at, *(came.acted_at for came in self._came), 0)
        self._came.clear()
        self._learned_at = now

    def _note_quality(self) -> None:
        for scenario, found in self._learner.quality.figures().items():
            PROGRESSIVE_AUC.labels(scenario).set(found.auc)
            PROGRESSIVE_CALIBRATION.labels(scenario).set(found.calibration)
            PROGRESSIVE_NDCG.labels(scenario).set(found.ndcg)
            PROGRESSIVE_HR.labels(scenario).set(found.hr)

    async def _release_when_due(self) -> None:
        """Start a release beside the loop when there is something new, the last one is out, and it would not be a step back."""
        if self._release is not None and self._release.done():
            released = await self._release
            self._release = None
            if released is not None:
                self._learner.serves(released, self._publisher.version)
        now = time.monotonic()
        due = self._learned_since_release and now - self._released_at >= self._policy.release_interval_sec
        if due and self._release is None and self._past_floor():
            self._released_at, self._learned_since_release = now, False
            captured = await asyncio.to_thread(self._capture)
            self._release = asyncio.create_task(self._judge_and_publish(captured))

    def _past_floor(self) -> bool:
        """A model that learned from less than the one that serves must not take its place."""
        return all(done >= needed for done, needed in zip(self._learned_through, self._floor, strict=False))

    def _capture(self) -> "_Captured":
        weights, learner = self._learner.snapshot(), self._learner
        labels, lists = learner.label_window.compare(), learner.list_window.compare()
        through = list(self._learned_through)
        probe = probe_of(learner, weights)
        quality = {
            f"{scenario}/{metric}": value
            for scenario, found in learner.quality.figures().items()
            for metric, value in found.by_name().items()
            if math.isfinite(value)
        }
        return _Captured(
            weights,
            probe,
            labels,
            lists,
            learner.scenario_windows.compare(),
            through,
            learner.examples,
            quality,
            self._life,
            self._acted_at,
            self._learned_at,
        )

    async def _judge_and_publish(self, captured: "_Captured") -> Weights | None:
        """The weights that were released; None where they were held or could not be written."""
        with RELEASE_SECONDS.time():
            graphs, candidate = await asyncio.to_thread(self._judge, captured)
            held = reasons_to_hold(candidate, self._learner.gate)
            for reason in held:
                HELD_RELEASES.labels(reason).inc()
            if captured.life != self._life:
                return None
            if held:
                log.warning("release_held", reasons=",".join(held), **captured.figures())
                return None
            try:
                published = await self._publisher.publish(
                    captured.weights,
                    graphs,
                    captured.trained_through,
                    captured.figures() | {"parity": candidate.parity},
                )
            except KafkaError as error:
                log.warning("release_failed", error=repr(error))
                self._learned_since_release = True
                return None
        self._health.details["version"] = self._publisher.version
        TRAINER_VERSION.set(self._publisher.version)
        _GRADIENT_TO_RELEASE.observe((self._clock.now_ms() - captured.learned_at) / 1000)
        await asyncio.to_thread(self._board.released, captured.weights, self._publisher.version)
        self._learned_since_release |= published.left > 0
        log.info("released", version=self._publisher.version, rows=published.rows, examples=captured.examples)
        return captured.weights

    def _judge(self, captured: "_Captured") -> tuple[Graphs, Candidate]:
        graphs = self._exporter.export(captured.weights)
        parity = largest_difference(graphs, captured.weights, captured.probe)
        return graphs, Candidate(captured.weights.finite(), parity, captured.labels, captured.by_scenario)

    async def _save(self) -> None:
        """Write a checkpoint of a model that is sound; go back to the last one where it is not."""
        self._saved_at = time.monotonic()
        if not (await asyncio.to_thread(self._learner.snapshot)).finite():
            HELD_RELEASES.labels(NOT_A_NUMBER).inc()
            log.error("model_not_a_number")
            await self._recover()
            return
        offsets = {ITEMS: list(self._items.next_offsets), TRAINING_EXAMPLES: list(self._examples.next_offsets)}
        with CHECKPOINT_SECONDS.time():
            checkpoint = Checkpoint(offsets, self._learner.state())
            await asyncio.to_thread(write_checkpoint, self._policy.checkpoint_path, checkpoint)

    def _report_lag(self) -> int:
        waiting = self._examples.waiting()
        for partition, records in enumerate(waiting):
            LAG.labels(SERVICE, TRAINING_EXAMPLES, partition).set(records)
        self._health.details["trained_through_lag"] = sum(waiting)
        return sum(waiting)
