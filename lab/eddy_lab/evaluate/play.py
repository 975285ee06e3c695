"""A stream played through the loop in one process, turn by turn as `eddy_cli.replay` plays it through Kafka."""

from collections import deque
from collections.abc import Callable

from eddy_cli.replay.quality import ReplayEvaluator
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.schedule import Schedule
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.loop import EvaluationLoop
from eddy_scorer.core.ranking.request import Request

# Users whose lists are scored together, and whose events come together: what is in flight in the live replay.
TOGETHER = 16


def play(
    stream: Stream,
    loop: EvaluationLoop,
    records: ReplayRecords,
    evaluator: ReplayEvaluator,
    places: list[int],
    window: int,
    max_skew_ms: int,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Play all of `stream`: for each event a list, its impression, and a click where it holds the item, else the organic event.

    `places` (one for each event, eddy_cli.replay.player.NOT_SERVED at first) is filled for `evaluator`; `progress(events played)`.
    """
    loop.publish(stream.catalogue)
    schedule = Schedule(stream.users, stream.times_ms, window, max_skew_ms)
    ready: deque[int] = deque()
    while not schedule.finished:
        ready.extend(schedule.admit())
        turn = [ready.popleft() for _ in range(min(TOGETHER, len(ready)))]
        requests = [
            Request(
                records.request_id(index),
                stream.user_ids[stream.users[index]],
                records.event_kind.scenario,
                records.limit,
                stream.times_ms[index],
            )
            for index in turn
        ]
        events: list[tuple[str, bytes]] = []
        for index, served in zip(turn, loop.serve(requests), strict=True):
            events += _events(stream, records, index, [item["item_id"] for item in served["items"]], places)
        loop.act(events)
        for index in turn:
            evaluator.evaluate(index)
            following = schedule.finish(index)
            if following is not None:
                ready.append(following)
        progress(schedule.played)


def _events(
    stream: Stream, records: ReplayRecords, index: int, shown: list[str], places: list[int]
) -> list[tuple[str, bytes]]:
    """What a user publishes who sees this list."""
    user_id, item_id = stream.user_ids[stream.users[index]], stream.item_ids[stream.items[index]]
    at_ms, value = stream.times_ms[index], stream.values[index]
    seen = [(user_id, records.impression(index, user_id, at_ms)[1])] if shown else []
    (_, action), place = records.action(index, user_id, item_id, value, at_ms, shown)
    if place is not None:
        places[index] = place
    return [*seen, (user_id, action)]
