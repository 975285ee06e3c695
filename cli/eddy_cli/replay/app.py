"""Wires the replay: publishes the items, plays the stream, waits for the joiner, makes the report."""

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace

from rich.console import Console

from eddy.contract.codec import Codec
from eddy.contract.records import Item
from eddy.contract.topics import ITEMS, RECOMMENDATION_REQUESTS, RECOMMENDATIONS, USER_EVENTS
from eddy.errors import FatalError
from eddy.kafka.bus import Bus, Reader
from eddy_cli.baselines import Baseline, Covisitation, Popularity
from eddy_cli.replay.drain import read_ledger, wait_for_joiner
from eddy_cli.replay.freshness import Releases, click_to_serving_seconds
from eddy_cli.replay.options import ReplayOptions
from eddy_cli.replay.outbox import Outbox
from eddy_cli.replay.player import Player
from eddy_cli.replay.progress import ProgressView, ReplayProgress, progress_view
from eddy_cli.replay.quality import ReplayEvaluator
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.schedule import EventPace, Schedule
from eddy_cli.replay.services import lateness_sec, open_impressions, wait_until_ready
from eddy_cli.replay.settings import ReplaySettings
from eddy_cli.replay.stream import Stream
from eddy_cli.replay.tail import Tail, embeddings_written
from eddy_cli.report import Report

SLATE_LENGTH = 10
_PUBLISH_TOPICS = (RECOMMENDATION_REQUESTS, USER_EVENTS)
_NO_SLATE_TIMEOUT_SEC = 60.0


async def replay(stream: Stream, options: ReplayOptions, settings: ReplaySettings, console: Console) -> Report:
    """Play `stream` against the services on the broker of `settings`. Raises FatalError for a missing service."""
    if not len(stream):
        raise FatalError("no events to replay: raise --limit or --users")
    bus = Bus(settings)
    await bus.create_topics()
    await wait_until_ready(settings.replay_ready_urls, options.ready_within_sec)
    options = within_lateness(options, await lateness_sec(settings.replay_joiner_url), console)
    records = ReplayRecords(uuid.uuid4().hex[:8], stream.event_kind, SLATE_LENGTH, round(options.deadline_sec * 1000))
    tail = Tail(records)
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(bus.producer())
        slates = await stack.enter_async_context(bus.reader(bus.topic_partitions(RECOMMENDATIONS)))
        outcomes = await stack.enter_async_context(bus.reader(tail.topic_partitions(bus), fetch_max_wait_ms=500))
        await slates.seek_to_end()
        await outcomes.seek_to_end()
        rows_before, open_before = (
            await embeddings_written(outcomes, bus),
            await open_impressions(settings.replay_joiner_url),
        )
        await producer.send_all(ITEMS, [(item["item_id"], Codec.of(Item).encode(item)) for item in stream.catalogue])
        outbox = Outbox(bus, producer, _PUBLISH_TOPICS)
        run = ReplayRun(stream, options, records, outbox, bus)
        started = time.monotonic()
        with progress_view(console, len(stream), started) as view:
            await follow(run, tail, slates, outcomes, view)
        wall_seconds = time.monotonic() - started
        await wait_for_joiner(bus, outcomes)
        observations, outcome = run.player.observations, tail.outcome
        other_requests = run.player.other_requests
        ledger = await read_ledger(
            tail, outcomes, settings.replay_joiner_url, observations.impressions, open_before, other_requests
        )
        embeddings_published = await embeddings_written(outcomes, bus) - rows_before
    console.print(run.remarks(), highlight=False)
    return Report(
        dataset=stream.dataset,
        events=len(stream),
        wall_seconds=wall_seconds,
        latencies_ms=observations.latencies_ms,
        quality={name: score.as_dict() for name, score in run.evaluator.scores.items()},
        ledger=ledger,
        examples=outcome.examples,
        releases=len(outcome.trained_through),
        embeddings_published=embeddings_published,
        event_to_recommendations_ms=observations.event_to_recommendations_ms,
        click_to_serving_seconds=click_to_serving_seconds(
            observations.clicks, outcome.learned_at, Releases(outcome.trained_through), observations.served
        ),
        dead_letters=outcome.dead_letters,
    )


def within_lateness(options: ReplayOptions, lateness_sec: float, console: Console) -> ReplayOptions:
    """The options with a skew that the joiner allows for: it would refuse the impressions of users who are further behind."""
    if lateness_sec >= options.max_skew_sec:
        return options
    console.print(
        f"The joiner keeps slates for {lateness_sec:.0f} s of lateness, so users are at most that far apart instead of "
        f"{options.max_skew_sec:.0f} s. Fewer of them are active at once, and the replay is slower. To avoid this, start the joiner with "
        f"EDDY_JOINER_LATENESS_SEC={options.max_skew_sec:.0f}.",
        highlight=False,
    )
    return replace(options, max_skew_sec=lateness_sec)


class ReplayRun:
    """One replay of a stream: player, schedule and evaluator."""

    def __init__(
        self, stream: Stream, options: ReplayOptions, records: ReplayRecords, outbox: Outbox, bus: Bus
    ) -> None:
        self._schedule = Schedule(stream.users, stream.times_ms, options.window, round(options.max_skew_sec * 1000))
        self._outbox = outbox
        self._poll_ms = 100 if options.speed is None and options.rate is None else 5
        self.player = Player(
            stream,
            self._schedule,
            records,
            outbox.put,
            [bus.partition_of(user_id) for user_id in stream.user_ids],
            now=time.monotonic,
            timeout_sec=options.deadline_sec * 2,
            horizon_ms=_horizon(stream, options.speed),
            **({} if options.rate is None else {"may_act": EventPace(options.rate, time.monotonic).allows}),
        )
        baselines: dict[str, Baseline] = {
            "popularity": Popularity(len(stream.item_ids)),
            "covisitation": Covisitation(len(stream.item_ids)),
        }
        self.evaluator = ReplayEvaluator(stream, self.player.observations.positions, baselines)

    async def play(self, slates: Reader, view: ProgressView, lag: Callable[[], int]) -> None:
        """Play all events and wait until they are acknowledged; `lag` gives the number of untrained examples, for the view.

        Raises FatalError if no recommendations arrive any more.
        """
        while not (self._schedule.finished and self._outbox.empty):
            self.player.turn()
            for message in await slates.batch(self._poll_ms, 200):
                self.player.take(message.value)
            self._evaluate()
            self._check()
            view.show(self._progress(lag()), time.monotonic())
        self._evaluate()

    async def publish(self) -> None:
        """Publish the player's records until cancelled."""
        await self._outbox.run()

    def remarks(self) -> str:
        """Unusual counts in one line; empty if there are none."""
        observations = self.player.observations
        counts = {
            "requests without an answer": observations.timeouts,
            "refused requests": observations.refused,
            "answers at their deadline": observations.stale_slates,
        }
        return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)

    def _evaluate(self) -> None:
        played = self.player.observations.played
        while played:
            self.evaluator.evaluate(played.popleft())

    def _check(self) -> None:
        first, last = self.player.observations.unanswered or (0.0, 0.0)
        if last - first > _NO_SLATE_TIMEOUT_SEC:
            raise FatalError(
                f"no recommendations for {last - first:.0f} s. Check that the scorer runs, with the same EDDY_TOPIC_PREFIX."
            )

    def _progress(self, lag: int) -> ReplayProgress:
        versions = self.player.observations.served.versions
        return ReplayProgress(
            events=self._schedule.played,
            hit_rate=self.evaluator.scores["model"].hit_rate,
            version=versions[-1] if versions else 0,
            waiting=self.player.waiting,
            lag=lag,
        )


async def follow(run: ReplayRun, tail: Tail, slates: Reader, outcomes: Reader, view: ProgressView) -> None:
    """Play to the end with publisher and tail in parallel tasks. Raises an exception group of FatalError if one of them fails."""
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(run.publish())
        tasks.create_task(tail.run(outcomes, ended))
        await run.play(slates, view, lambda: tail.outcome.lag)
        ended.set()
        publishing.cancel()


def _horizon(stream: Stream, speed: float | None) -> Callable[[], float]:
    if speed is None:
        return lambda: float("inf")
    first_ms, started = stream.times_ms[0], time.monotonic()
    return lambda: first_ms + (time.monotonic() - started) * 1000 * speed
