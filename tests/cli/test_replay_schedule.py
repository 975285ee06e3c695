"""The schedule: events of a user in order, every event once, within window and skew."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eddy_cli.replay.schedule import EventPace, Schedule

DAY_MS = 86_400_000


@given(
    events=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 20)), max_size=60),
    window=st.integers(1, 20),
    skew=st.integers(0, 60),
    choice=st.randoms(use_true_random=False),
)
def test_schedule_plays_all_events_within_the_bounds(events, window, skew, choice) -> None:  # type: ignore[no-untyped-def]
    users = [user for user, _ in events]
    times = [sum(gap for _, gap in events[: position + 1]) for position in range(len(events))]
    schedule = Schedule(users, times, window, skew)
    running: set[int] = set()
    finished: list[int] = []
    started: list[int] = []
    while not schedule.finished:
        ready = schedule.admit()
        started += ready
        running.update(ready)
        unfinished = min(set(range(len(events))) - set(finished))
        assert schedule.oldest == unfinished
        assert schedule.played == len(finished)
        assert all(index < unfinished + window and times[index] <= times[unfinished] + skew for index in ready)
        assert len({users[index] for index in running}) == len(running), "a user's events overlap"
        index = choice.choice(sorted(running))
        running.remove(index)
        finished.append(index)
        following = schedule.finish(index)
        if following is not None:
            started.append(following)
            running.add(following)
    assert sorted(finished) == list(range(len(events)))
    for user in set(users):
        assert [index for index in started if users[index] == user] == [n for n, one in enumerate(users) if one == user]


def test_nothing_is_admitted_beyond_the_horizon() -> None:
    schedule = Schedule([0, 1, 2], [0, 10, 20], window=10, max_skew_ms=100)
    assert schedule.admit(until_ms=9) == [0]
    assert schedule.admit(until_ms=9) == []
    assert schedule.admit(until_ms=20) == [1, 2]


def test_gap_in_event_time_is_waited_for() -> None:
    schedule = Schedule([0, 1], [0, DAY_MS], window=10, max_skew_ms=1000)
    assert schedule.admit() == [0]
    assert schedule.finish(0) is None
    assert schedule.admit() == [1]


def test_empty_window_is_refused() -> None:
    with pytest.raises(ValueError, match="window"):
        Schedule([], [], window=0, max_skew_ms=0)


def test_an_empty_stream_is_finished() -> None:
    assert Schedule([], [], window=1, max_skew_ms=0).finished


def test_pace_is_kept_at_any_polling_interval() -> None:
    for step in (0.001, 0.05):
        now = [0.0]
        pace = EventPace(100.0, lambda now=now: now[0])  # type: ignore[misc]
        gone = 0
        while now[0] < 10.0:
            while pace.allows():
                gone += 1
            now[0] += step
        assert 990 <= gone <= 1011, step


def test_unused_time_is_only_caught_up_briefly() -> None:
    now = [0.0]
    pace = EventPace(100.0, lambda: now[0])
    now[0] = 60.0
    gone = 0
    while pace.allows():
        gone += 1
    assert 10 <= gone <= 12
