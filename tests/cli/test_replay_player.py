"""The player without Kafka: order of publications, and measurements."""

from dataclasses import dataclass, field
from typing import Any

from eddy.contract.codec import Codec, Record
from eddy.contract.topics import RECOMMENDATION_REQUESTS, USER_EVENTS
from eddy_cli.replay.event_kind import MOVIELENS
from eddy_cli.replay.player import Player
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.schedule import EventPace, Schedule
from tests.cli.answering import answer
from tests.cli.streams import stream

TIMEOUT_SEC = 4.0


@dataclass
class Stage:
    """A player with a manual clock whose publications are kept."""

    users: list[int]
    items: list[int]
    now: float = 100.0
    rate: float | None = None
    requests: list[Record] = field(default_factory=list)
    events: list[Record] = field(default_factory=list)
    acknowledgements: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        played = stream(self.users, self.items)
        schedule = Schedule(played.users, played.times_ms, window=100, max_skew_ms=10**9)
        self.player = Player(
            played,
            schedule,
            ReplayRecords("run", MOVIELENS, 10, 2000),
            self._put,
            [0] * len(played.user_ids),
            now=lambda: self.now,
            timeout_sec=TIMEOUT_SEC,
            may_act=EventPace(self.rate, lambda: self.now).allows if self.rate else lambda: True,
        )
        self.player.turn()

    def _put(self, topic: str, partition: int, key: bytes, value: bytes, on_offset: Any = None, token: int = 0) -> None:
        record = Codec.for_topic(topic).decode(value)
        assert key == record["user_id"].encode()
        if topic == RECOMMENDATION_REQUESTS:
            self.requests.append(record)
        else:
            assert topic == USER_EVENTS
            self.events.append(record)
            if on_offset is not None:
                self.acknowledgements.append((on_offset, token, len(self.events) - 1))

    def acknowledge(self) -> None:
        on_offset, token, offset = self.acknowledgements.pop(0)
        on_offset(token, offset)

    def serve(self, request: Record, items: list[str], version: int = 1, **changed: Any) -> None:
        self.player.take(Codec.of("recommendations").encode({**answer(request, items, version), **changed}))


def test_recommended_item_is_clicked_after_its_impression() -> None:
    stage = Stage([0], [2])
    (request,) = stage.requests
    assert (request["user_id"], request["limit"], request["after_offset"]) == ("u0", 10, None)
    assert request["deadline_at"] == request["requested_at"] + 2000
    stage.serve(request, ["i9", "i2"])
    impression, click = stage.events
    assert (impression["action"], impression["request_id"], impression["item_id"]) == (
        "impression",
        request["request_id"],
        None,
    )
    assert (click["action"], click["item_id"], click["position"], click["value"]) == ("click", "i2", 1, 1.0)
    assert click["request_id"] == request["request_id"]
    assert impression["occurred_at"] == click["occurred_at"] == request["requested_at"]
    assert stage.player.observations.positions == [1]
    assert stage.player.observations.impressions == 2
    assert list(stage.player.observations.clicks) == [click["event_id"]]


def test_refused_request_continues_without_a_slate() -> None:
    stage = Stage([0], [2])
    refusal = {"reason": "too_long", "field": "query", "detail": "query has 300 characters; the maximum is 256."}
    stage.serve(stage.requests[0], [], refusal=refusal)
    (organic,) = stage.events
    assert (organic["action"], organic["request_id"]) == ("rate", None)
    observations = stage.player.observations
    assert (observations.refused, observations.slates, observations.impressions, observations.latencies_ms) == (
        1,
        0,
        0,
        [],
    )


def test_item_that_is_not_recommended_is_an_unattributed_interaction() -> None:
    stage = Stage([0], [2])
    stage.serve(stage.requests[0], ["i0", "i1"])
    _, organic = stage.events
    assert (organic["action"], organic["item_id"], organic["request_id"]) == ("rate", "i2", None)
    assert stage.player.observations.positions == [-1]


def test_rate_limits_requests_and_interactions() -> None:
    stage = Stage([0, 1, 2], [2, 2, 2], rate=10.0)
    request_counts, event_counts = [], []
    for turn in range(7):
        stage.player.turn()
        request_counts.append(len(stage.requests))
        event_counts.append(len(stage.events) // 2)
        stage.now += 0.11
        if turn == 3:
            for request in stage.requests:
                stage.serve(request, ["i2"])
    assert request_counts == [1, 2, 3, 3, 3, 3, 3]
    assert event_counts == [0, 0, 0, 0, 2, 3, 3]  # one when its slate arrived, then one per turn


def test_the_next_request_names_the_offset_of_the_last_event() -> None:
    stage = Stage([0, 0], [1, 2])
    assert len(stage.requests) == 1
    stage.serve(stage.requests[0], ["i5"])
    assert len(stage.requests) == 1, "the event has no offset yet"
    stage.now += 0.010
    stage.acknowledge()
    assert stage.requests[1]["after_offset"] == 1
    stage.now += 0.020
    stage.serve(stage.requests[1], ["i5"])
    assert [round(ms) for ms in stage.player.observations.event_to_recommendations_ms] == [30]
    assert [round(ms) for ms in stage.player.observations.latencies_ms] == [0, 20]


def test_slate_without_the_last_event_is_stale() -> None:
    stage = Stage([0, 0], [1, 2])
    stage.serve(stage.requests[0], ["i5"])
    stage.acknowledge()
    stage.serve(stage.requests[1], ["i5"], applied_offset=0)
    assert stage.player.observations.stale_slates == 1
    assert stage.player.observations.event_to_recommendations_ms == []


def test_empty_slate_has_no_impression() -> None:
    stage = Stage([0], [1])
    stage.serve(stage.requests[0], [])
    assert [event["action"] for event in stage.events] == ["rate"]
    assert stage.player.observations.impressions == 0


def test_user_continues_without_a_slate_and_a_late_slate_is_ignored() -> None:
    stage = Stage([0, 1], [1, 1])
    stage.now += TIMEOUT_SEC / 2
    stage.serve(stage.requests[1], ["i1"])
    stage.now += TIMEOUT_SEC / 2
    stage.player.turn()
    assert [event["action"] for event in stage.events] == ["impression", "click", "rate"]
    assert (stage.player.observations.timeouts, stage.player.observations.requests) == (1, 2)
    stage.serve(stage.requests[0], ["i1"])
    assert len(stage.events) == 3


def test_slates_of_other_clients_and_second_answers_are_ignored() -> None:
    stage = Stage([0], [1])
    for request_id in ("other-0", "run-x", "run-7", "0"):
        stage.serve(stage.requests[0], ["i1"], request_id=request_id)
    assert stage.events == []
    stage.serve(stage.requests[0], ["i1"])
    stage.serve(stage.requests[0], ["i1"])
    assert len(stage.events) == 2
