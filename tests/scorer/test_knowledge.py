"""Derived state while records keep coming in: rebuilt in another thread, at a bounded share of the time."""

import threading

import pytest

from services.scorer.knowledge import Knowledge
from services.scorer.pace import Pace
from tests.scorer.factories import item_features, recommender, scenarios

VIDEO = 0


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pace_keeps_to_its_share() -> None:
    clock = _Clock()
    pace = Pace(clock, duty=0.05, least_sec=0.3)
    assert pace.due()
    started = pace.start()
    clock.now += 0.1
    pace.took(started)
    assert pace.seconds_left() == pytest.approx(1.9)
    clock.now += 1.8
    assert not pace.due()
    clock.now += 0.2
    assert pace.due()


def test_quick_work_still_waits_a_little() -> None:
    clock = _Clock()
    pace = Pace(clock, duty=0.05, least_sec=0.3)
    pace.took(pace.start())
    assert pace.seconds_left() == pytest.approx(0.3)


def test_refresh_rebuilds_what_is_stale_when_it_is_due() -> None:
    clock = _Clock()
    knowledge = Knowledge(scenarios(), clock)
    clock.now += 1
    knowledge.apply_item_features(item_features("a", {"b": 1.0}))
    knowledge.refresh()
    assert knowledge.orders[VIDEO].popular.tolist() == [knowledge.catalogue.find("a")]
    assert knowledge.matrices.together.nnz == 2
    knowledge.apply_item_features(item_features("c", {"b": 1.0}))
    knowledge.refresh()
    assert knowledge.matrices.together.nnz == 2
    clock.now += 1
    knowledge.refresh()
    assert knowledge.matrices.together.nnz == 4
    assert knowledge.due_orders() is None
    assert knowledge.due_matrices() is None


def test_records_may_come_in_while_another_thread_rebuilds() -> None:
    knowledge = recommender().knowledge
    failures: list[BaseException] = []
    done = threading.Event()

    def rebuild() -> None:
        try:
            while not done.is_set():
                for build in builds.pop() if builds else ():
                    build()
        except BaseException as error:  # noqa: BLE001  # told to the test's own thread
            failures.append(error)

    builds = [knowledge.builds()]
    thread = threading.Thread(target=rebuild)
    thread.start()
    for number in range(3000):
        edges = {f"m{number * step}": 1.0 for step in range(1, 6)}
        knowledge.apply_item_features(item_features(f"m{number}", edges))
        if number % 50 == 0 and not builds:
            builds.append(knowledge.builds())
    done.set()
    thread.join()
    assert not failures
    knowledge.rebuild()
    assert len(knowledge.orders[VIDEO].eligible) == 3000
