"""Quality: model and baselines are scored on the same events, before they learn them."""

import math

from eddy_cli.replay.player import NOT_SERVED
from eddy_cli.replay.quality import ReplayEvaluator, Score, gain_at_10
from tests.cli.streams import stream


class Recorder:
    """A baseline that records its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int, int]] = []

    def rank(self, user: int, item: int) -> int:
        self.calls.append(("rank", user, item))
        return 0

    def learn(self, user: int, item: int, at_ms: int) -> None:
        self.calls.append(("learn", user, item))


def test_gain_is_discounted_by_position_and_cut_at_ten() -> None:
    assert gain_at_10(0) == 1.0
    assert gain_at_10(1) == 1 / math.log2(3)
    assert gain_at_10(9) == 1 / math.log2(11)
    assert gain_at_10(10) == gain_at_10(None) == 0.0


def test_first_events_do_not_count_and_events_are_learned_after_scoring() -> None:
    recorder = Recorder()
    evaluator = ReplayEvaluator(stream([0, 1, 0], [5, 6, 7]), [0, 0, 1], {"recorder": recorder})
    for index in (1, 0, 2):
        evaluator.evaluate(index)
    assert recorder.calls == [("learn", 1, 6), ("learn", 0, 5), ("rank", 0, 7), ("learn", 0, 7)]
    assert evaluator.scores["model"].as_dict()["ndcg_at_10"] == gain_at_10(1)
    assert evaluator.scores["recorder"].as_dict()["hr_at_10"] == 1.0


def test_only_first_time_interactions_are_scored() -> None:
    played = stream([3, 3, 1, 3, 1, 3], [7, 8, 7, 7, 8, 9])
    assert played.scored().tolist() == [False, True, False, False, True, True]
    recorder = Recorder()
    evaluator = ReplayEvaluator(played, [0] * 6, {"recorder": recorder})
    for index in range(6):
        evaluator.evaluate(index)
    assert [call for call in recorder.calls if call[0] == "rank"] == [
        ("rank", 3, 8),
        ("rank", 1, 8),
        ("rank", 3, 9),
    ]


def test_tenths_are_of_the_stream() -> None:
    positions = [NOT_SERVED] * 10 + [0] * 10
    evaluator = ReplayEvaluator(stream([0] * 20, list(range(20))), positions, {})
    for index in range(20):
        evaluator.evaluate(index)
    scores = evaluator.scores["model"].as_dict()
    assert scores["ndcg_at_10_by_tenth"] == [0.0] * 5 + [1.0] * 5
    assert scores["hr_at_10"] == 10 / 19


def test_score_of_no_events_is_zero() -> None:
    assert Score().as_dict() == {"ndcg_at_10": 0.0, "hr_at_10": 0.0, "ndcg_at_10_by_tenth": [0.0] * 10}
