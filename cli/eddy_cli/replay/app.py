"""The replay, wired: publish the items, play the stream, drain the loop, write the report."""

import asyncio
import time
import uuid
from collections.abc import Callable
from contextlib import AsyncExitStack

from rich.console import Console

from eddy.clock import SystemClock
from eddy.contract.codec import Codec
from eddy.contract.records import Item
from eddy.contract.topics import ITEMS, RECOMMENDATION_REQUESTS, RECOMMENDATIONS, USER_EVENTS
from eddy.errors import FatalError
from eddy.kafka.bus import Bus, Reader
from eddy_cli.baselines import Baseline, Covisitation, Popularity
from eddy_cli.replay.drain import joiner_passed, read_books
from eddy_cli.replay.freshness import Releases, click_to_serving_seconds
from eddy_cli.replay.options import ReplayOptions
from eddy_cli.replay.outbox import Outbox
from eddy_cli.replay.player import Player
from eddy_cli.replay.progress import ProgressView, Standing, progress_view
from eddy_cli.replay.quality import ReplayEvaluator
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.schedule import Pace, Schedule
from eddy_cli.replay.services import open_items, wait_until_ready
from eddy_cli.replay.settings import ReplaySettings
from eddy_cli.replay.stream import Stream
from eddy_cli.replay.tail import Tail, rows_written
from eddy_cli.report import Report

SLATE_LENGTH = 10
_PUBLISH_TOPICS = (RECOMMENDATION_REQUESTS, USER_EVENTS)
_NO_LIST_AFTER_SEC = 60.0


async def replay(stream: Stream, options: ReplayOptions, settings: ReplaySettings, console: Console) -> Report:
    """Play `stream` against the services on the broker of `settings`. Raises FatalError when a service is missing."""
    if not len(stream):
        raise FatalError("no events to replay: raise --limit or --users")
    bus = Bus(settings)
    await bus.create_topics()
    await wait_until_ready(settings.lab_ready_urls, options.ready_within_sec)
    records = ReplayRecords(uuid.uuid4().hex[:8], stream.event_kind, SLATE_LENGTH, round(options.deadline_sec * 1000))
    tail = Tail(records)
    async with AsyncExitStack() as stack:
        producer = await stack.enter_async_context(bus.producer())
        lists = await stack.enter_async_context(bus.reader(bus.topic_partitions(RECOMMENDATIONS)))
        outcomes = await stack.enter_async_context(bus.reader(tail.topic_partitions(bus), fetch_max_wait_ms=500))
        await lists.seek_to_end()
        await outcomes.seek_to_end()
        rows_before, open_before = await rows_written(outcomes, bus), await open_items(settings.lab_joiner_url)
        await producer.send_all(ITEMS, [(item["item_id"], Codec.of(Item).encode(item)) for item in stream.catalogue])
        outbox = Outbox(bus, producer, _PUBLISH_TOPICS)
        performance = Performance(stream, options, records, outbox, bus)
        started = time.monotonic()
        with progress_view(console, len(stream), started) as view:
            await follow(performance, tail, lists, outcomes, view)
        wall_seconds = time.monotonic() - started
        await joiner_passed(bus, outcomes)
        observed, outcome = performance.player.observed, tail.outcome
        others = performance.player.others
        ledger = await read_books(tail, outcomes, settings.lab_joiner_url, observed.shown, open_before, others)
        rows_published = await rows_written(outcomes, bus) - rows_before
    console.print(performance.remarks(), highlight=False)
    return Report(
        dataset=stream.dataset,
        events=len(stream),
        wall_seconds=wall_seconds,
        latencies_ms=observed.latencies_ms,
        quality={name: score.as_dict() for name, score in performance.evaluator.scores.items()},
        ledger=ledger,
        examples=outcome.examples,
        releases=len(outcome.trained_through),
        rows_published=rows_published,
        event_to_recommendations_ms=observed.event_to_recommendations_ms,
        click_to_serving_seconds=click_to_serving_seconds(
            observed.clicks, outcome.learned_at, Releases(outcome.trained_through), observed.served
        ),
        dead_letters=outcome.dead_letters,
    )


class Performance:
    """One playing of a stream: the player, the schedule that paces it and the judge that follows."""

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
            wall_ms=SystemClock().now_ms,
            timeout_sec=options.deadline_sec * 2,
            horizon_ms=_horizon(stream, options.speed),
            **({} if options.rate is None else {"may_act": Pace(options.rate, time.monotonic).allows}),
        )
        baselines: dict[str, Baseline] = {
            "popularity": Popularity(len(stream.item_ids)),
            "covisitation": Covisitation(len(stream.item_ids)),
        }
        self.evaluator = ReplayEvaluator(stream, self.player.observed.places, baselines)

    async def play(self, lists: Reader, view: ProgressView, behind: Callable[[], int]) -> None:
        """Play to the last event and until all of it is acknowledged; `behind` says how far learning lags, for the view.

        Raises FatalError when lists stop coming.
        """
        while not (self._schedule.finished and self._outbox.empty):
            self.player.turn()
            for message in await lists.batch(self._poll_ms, 200):
                self.player.take(message.value)
            self._evaluate()
            self._check()
            view.show(self._standing(behind()), time.monotonic())
        self._evaluate()

    async def publish(self) -> None:
        """Send what the player puts, until cancelled."""
        await self._outbox.run()

    def remarks(self) -> str:
        """What went otherwise than it should, in a line; empty when nothing did."""
        observed = self.player.observed
        counts = {
            "requests without a list": observed.timeouts,
            "refused requests": observed.refused,
            "lists at their deadline": observed.stale_lists,
        }
        return ", ".join(f"{count:,} {name}" for name, count in counts.items() if count)

    def _evaluate(self) -> None:
        acted = self.player.observed.acted
        while acted:
            self.evaluator.evaluate(acted.popleft())

    def _check(self) -> None:
        first, last = self.player.observed.in_vain or (0.0, 0.0)
        if last - first > _NO_LIST_AFTER_SEC:
            raise FatalError(
                f"no recommendations for {last - first:.0f} s. Check that the scorer runs, with the same EDDY_TOPIC_PREFIX."
            )

    def _standing(self, behind: int) -> Standing:
        versions = self.player.observed.served.versions
        return Standing(
            events=self._schedule.played,
            hit_rate=self.evaluator.scores["model"].hit_rate,
            version=versions[-1] if versions else 0,
            waiting=self.player.waiting,
            behind=behind,
        )


async def follow(performance: Performance, tail: Tail, lists: Reader, outcomes: Reader, view: ProgressView) -> None:
    """Play to the end with publisher and tail beside it. Raises an exception group of FatalError when one of them cannot go on."""
    ended = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        publishing = tasks.create_task(performance.publish())
        tasks.create_task(tail.run(outcomes, ended))
        await performance.play(lists, view, lambda: tail.outcome.lag)
        ended.set()
        publishing.cancel()


def _horizon(stream: Stream, speed: float | None) -> Callable[[], float]:
    if speed is None:
        return lambda: float("inf")
    first_ms, started = stream.times_ms[0], time.monotonic()
    return lambda: first_ms + (time.monotonic() - started) * 1000 * speed
