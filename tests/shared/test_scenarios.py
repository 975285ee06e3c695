"""scenarios.yaml: the shipped file holds, and a bad one is refused with its line."""

import pickle
import weakref
from pathlib import Path

import pytest

from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.scenarios import Scenario, Scenarios, ValueRange, load_scenarios
from eddy.errors import ConfigError
from eddy.paths import REPO_ROOT

SHIPPED = REPO_ROOT / "scenarios.yaml"


def test_shipped_file_holds() -> None:
    scenarios = load_scenarios(SHIPPED)
    assert scenarios.ids.items() >= {"video": 0, "shop": 1, "social": 2, "music": 3, "search": 4}.items()
    assert scenarios["video"].actions["rate"].normalise(4.0) == 0.75


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("share: {weight: 4}", "share: {weight: heavy}", "share.weight"),
        ("default: 3.1, opinion", "default: 9, opinion", "min <= default <= max"),
        ("like: {weight: 3}", "lick: {weight: 3}", "lick"),
        ("id: 1", "id: 0", "same id"),
        ("attribution_window_sec: 1800", "attribution_window_sec: 0", "attribution_window_sec"),
        ("push: false", "pushed: false", "pushed"),
        ("filters: [seen,", "filters: [sean,", "filters"),
    ],
)
def test_bad_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = SHIPPED.read_text()
    bad = tmp_path / "scenarios.yaml"
    bad.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=says) as refused:
        load_scenarios(bad)
    line = int(str(refused.value).removeprefix(f"{bad}:").partition(":")[0])
    # A rule about all of an entry, or about two of them, names where that begins.
    begins = {"lick": "\n  video:", "same id": "#"}.get(says)
    changed = (
        text[: text.index(old)].count("\n") + 1 if begins is None else text[: text.index(begins) + 1].count("\n") + 1
    )
    assert line in (changed, changed + 1)


@pytest.mark.parametrize(
    ("content", "says"), [(b"# caf\xe9\n", "save it as UTF-8"), (b"version: 1\x07\n", "unacceptable")]
)
def test_what_is_no_text_is_refused_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    bad = tmp_path / "scenarios.yaml"
    bad.write_bytes(content)
    with pytest.raises(ConfigError, match=says) as refused:
        load_scenarios(bad)
    assert "\n" not in str(refused.value)


def test_a_window_without_end_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "scenarios.yaml"
    bad.write_text(SHIPPED.read_text().replace("attribution_window_sec: 1800", "attribution_window_sec: .inf", 1))
    with pytest.raises(ConfigError, match="finite"):
        load_scenarios(bad)


def test_broken_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    bad = tmp_path / "scenarios.yaml"
    bad.write_text("version: 1\nscenarios: {video: [\n")
    with pytest.raises(ConfigError, match=r"scenarios.yaml:3: "):
        load_scenarios(bad)


def test_missing_file_says_what_to_set(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="EDDY_SCENARIOS_PATH"):
        load_scenarios(tmp_path / "none.yaml")


@pytest.mark.parametrize(("value", "normal"), [(None, 0.5), (1, 0.0), (5, 1.0), (9, 1.0), (-3, 0.0), (2, 0.25)])
def test_values_are_clipped_and_scaled(value: float | None, normal: float) -> None:
    assert ValueRange(min=1, max=5, default=3).normalise(value) == normal


def with_pottery(text: str, number: int = MAX_SCENARIOS - 1) -> str:
    """The shipped file with one scenario more."""
    actions = "{impression: {weight: 0}, play: {weight: 1}}"
    return f"{text}\n  pottery: {{id: {number}, actions: {actions}, attribution_window_sec: 60}}\n"


def changed(tmp_path: Path, text: str) -> Scenarios:
    path = tmp_path / "changed.yaml"
    path.write_text(text)
    return load_scenarios(path)


def test_whoever_follows_hears_of_scenarios_that_are_there_and_that_come(tmp_path: Path) -> None:
    scenarios, heard = load_scenarios(SHIPPED), dict[str, int]()
    scenarios.each(lambda name, scenario: heard.update({name: scenario.id}))
    assert heard == scenarios.ids
    assert scenarios.take_from(changed(tmp_path, with_pottery(SHIPPED.read_text()))) == (["pottery"], [])
    assert heard == scenarios.ids == load_scenarios(SHIPPED).ids | {"pottery": MAX_SCENARIOS - 1}
    assert scenarios.take_from(load_scenarios(SHIPPED)) == ([], ["pottery"])
    assert scenarios["pottery"].attribution_window_sec == 60


def test_what_a_scenario_is_does_not_change_under_way(tmp_path: Path) -> None:
    scenarios = load_scenarios(SHIPPED)
    other = SHIPPED.read_text().replace("attribution_window_sec: 1800", "attribution_window_sec: 60", 1)
    assert scenarios.take_from(changed(tmp_path, other)) == ([], ["video"])
    assert scenarios["video"].attribution_window_sec == 1800


def test_an_id_in_use_is_refused_and_nothing_is_added(tmp_path: Path) -> None:
    scenarios = load_scenarios(SHIPPED)
    text = with_pottery(SHIPPED.read_text().replace("  search:\n    id: 4", f"  find:\n    id: {MAX_SCENARIOS - 1}"), 4)
    with pytest.raises(ConfigError, match="pottery has the id 4, which search uses"):
        scenarios.take_from(changed(tmp_path, text))
    assert "pottery" not in scenarios.ids
    assert "find" not in scenarios.ids


def test_another_process_has_followers_of_its_own() -> None:
    scenarios = load_scenarios(SHIPPED)
    scenarios.each(lambda *_: None)  # which no pickle could carry
    assert pickle.loads(pickle.dumps(scenarios)).ids == scenarios.ids


def test_who_follows_need_not_live_on(tmp_path: Path) -> None:
    """A learner that is replaced by another is not kept by the scenarios it followed."""

    class Follower:
        def hear(self, name: str, _: Scenario) -> None:
            heard.append(name)

    heard: list[str] = []
    scenarios, gone, stays = load_scenarios(SHIPPED), Follower(), Follower()
    scenarios.each(gone.hear)
    scenarios.each(stays.hear)
    known = weakref.ref(gone)
    del gone
    assert known() is None
    heard.clear()
    scenarios.take_from(changed(tmp_path, with_pottery(SHIPPED.read_text())))
    assert heard == ["pottery"]
