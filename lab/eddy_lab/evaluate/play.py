"""Plays a stream through the loop in one process, in the order in which `eddy_cli.replay` plays it through Kafka."""

from collections import deque
from collections.abc import Callable

from eddy_cli.replay.quality import ReplayEvaluator
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.schedule import Schedule
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.loop import EvaluationLoop
from eddy_scorer.core.ranking.request import Request

# Requests served in one batch, whose events are then applied in one batch: as many as the live replay has in flight.
CONCURRENT_REQUESTS = 16


def play(
    stream: Stream,
    loop: EvaluationLoop,
    records: ReplayRecords,
    evaluator: ReplayEvaluator,
    positions: list[int],
    window: int,
    max_skew_ms: int,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Play `stream`: for each event a slate, its impression, and a click if it contains the item, otherwise the unattributed event.

    `positions` [events] starts as eddy_cli.replay.player.NOT_SERVED and is filled for `evaluator`; `progress(events played)`.
    """
    loop.publish(stream.catalogue)
    schedule = Schedule(stream.users, stream.times_ms, window, max_skew_ms)
    ready: deque[int] = deque()
    while not schedule.finished:
        ready.extend(schedule.admit())
        batch = [ready.popleft() for _ in range(min(CONCURRENT_REQUESTS, len(ready)))]
        requests = [
            Request(
                records.request_id(index),
                stream.user_ids[stream.users[index]],
                records.event_kind.scenario,
                records.limit,
                stream.times_ms[index],
            )
            for index in batch
        ]
        events: list[tuple[str, bytes]] = []
        for index, slate in zip(batch, loop.serve(requests), strict=True):
            events += _events(stream, records, index, [item["item_id"] for item in slate["items"]], positions)
        loop.apply(events)
        for index in batch:
            evaluator.evaluate(index)
            following = schedule.finish(index)
            if following is not None:
                ready.append(following)
        progress(schedule.played)


def _events(
    stream: Stream, records: ReplayRecords, index: int, item_ids: list[str], positions: list[int]
) -> list[tuple[str, bytes]]:
    """The events that a user publishes after seeing a slate of `item_ids`."""
    user_id, item_id = stream.user_ids[stream.users[index]], stream.item_ids[stream.items[index]]
    at_ms, value = stream.times_ms[index], stream.values[index]
    impressions = [(user_id, records.impression(index, user_id, at_ms)[1])] if item_ids else []
    (_, interaction), position = records.action(index, user_id, item_id, value, at_ms, item_ids)
    if position is not None:
        positions[index] = position
    return [*impressions, (user_id, interaction)]
