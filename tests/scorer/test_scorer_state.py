"""Derived state is rebuilt in another thread within a bounded share of the time, while records are applied."""

import threading
from pathlib import Path

import numpy as np
import pytest

from eddy.contract.scenarios import load_scenarios
from eddy.paths import REPO_ROOT
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.core.state.rebuild_pace import RebuildPace
from eddy_scorer.core.state.scorer_state import ScorerState
from tests.scorer.factories import counts, item, item_features, item_ids_of, recommend, recommender, request, scenarios

VIDEO = 0


class _Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_pace_keeps_its_share_of_time() -> None:
    clock = _Clock()
    pace = RebuildPace(clock, duty=0.05, min_interval_sec=0.3)
    assert pace.due()
    started = pace.start()
    clock.now += 0.1
    pace.finish(started)
    assert pace.seconds_left() == pytest.approx(1.9)
    clock.now += 1.8
    assert not pace.due()
    clock.now += 0.2
    assert pace.due()


def test_quick_rebuilds_keep_the_minimum_interval() -> None:
    clock = _Clock()
    pace = RebuildPace(clock, duty=0.05, min_interval_sec=0.3)
    pace.finish(pace.start())
    assert pace.seconds_left() == pytest.approx(0.3)


def test_refresh_rebuilds_stale_state_when_due() -> None:
    clock = _Clock()
    state = ScorerState(scenarios(), clock)
    clock.now += 1
    state.items.apply_features(item_features("a", {"b": 1.0}))
    state.refresh()
    assert state.orders[VIDEO].popular.tolist() == [state.catalogue.find("a")]
    assert state.matrices.covisitations.nnz == 2
    state.items.apply_features(item_features("c", {"b": 1.0}))
    state.refresh()
    assert state.matrices.covisitations.nnz == 2
    clock.now += 1
    state.refresh()
    assert state.matrices.covisitations.nnz == 4
    assert state.rebuilds.due_orders() is None
    assert state.rebuilds.due_matrices() is None


def test_records_can_be_applied_while_another_thread_rebuilds() -> None:
    state = recommender().state
    failures: list[BaseException] = []
    done = threading.Event()

    def rebuild() -> None:
        try:
            while not done.is_set():
                for build in builds.pop() if builds else ():
                    build()
        except BaseException as error:  # noqa: BLE001  # reported to the thread of the test
            failures.append(error)

    builds = [state.rebuilds.all()]
    thread = threading.Thread(target=rebuild)
    thread.start()
    for number in range(3000):
        edges = {f"m{number * step}": 1.0 for step in range(1, 6)}
        state.items.apply_features(item_features(f"m{number}", edges))
        if number % 50 == 0 and not builds:
            builds.append(state.rebuilds.all())
    done.set()
    thread.join()
    assert not failures
    state.rebuild()
    assert len(state.orders[VIDEO].eligible) == 3000


def test_scenario_added_later_gives_the_slates_of_one_present_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "scenarios.yaml"
    text = (REPO_ROOT / "scenarios.yaml").read_text()
    path.write_text(
        f"{text}\n  podcasts: {{id: 7, actions: {{impression: {{weight: 0}}, play: {{weight: 1}}}}, attribution_window_sec: 60}}"
    )
    always, later = load_scenarios(path), scenarios()
    engines = [Recommender(each, np.random.default_rng(0)) for each in (always, later)]
    for engine in engines:
        for name, allowed in {"a": [], "b": ["podcasts"], "c": ["video"], "e": ["video", "podcasts"]}.items():
            engine.apply_item(item(name, scenarios=allowed))
        engine.apply_item(item("gone", available=False))
        for name, in_ in {"a": "video", "b": "podcasts", "never published": "podcasts"}.items():
            engine.apply_item_features(
                item_features(name, {"a": 1.0}, counts=[counts(3.0, in_, valued=2, value_sum=1.5)])
            )
    assert later.adopt(always) == (["podcasts"], [])
    slates = [recommend(engine, request(scenario="podcasts", limit=5)) for engine in engines]
    assert slates[0] == slates[1]
    assert set(item_ids_of(slates[0][0])) == {"a", "b", "e"}
    assert engines[0].state.counts.mean_rating == engines[1].state.counts.mean_rating
    assert engines[0].state.counts.totals.tolist() == engines[1].state.counts.totals.tolist()
