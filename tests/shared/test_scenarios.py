"""scenarios.yaml: the shipped file is valid, and an invalid one is refused with the line of the error."""

import pickle
import weakref
from pathlib import Path

import pytest
import structlog

from eddy.contract.model import MAX_SCENARIOS
from eddy.contract.scenarios import FORMER_KEYS, Scenario, Scenarios, ValueRange, load_scenarios
from eddy.errors import ConfigError
from eddy.paths import REPO_ROOT

SHIPPED = REPO_ROOT / "scenarios.yaml"


def test_shipped_file_is_valid() -> None:
    scenarios = load_scenarios(SHIPPED)
    assert scenarios.ids.items() >= {"video": 0, "shop": 1, "social": 2, "music": 3, "search": 4}.items()
    assert scenarios["video"].actions["rate"].normalise(4.0) == 0.75


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("share: {weight: 4}", "share: {weight: heavy}", "share.weight"),
        ("default: 3.1, explicit", "default: 9, explicit", "min <= default <= max"),
        ("like: {weight: 3}", "lick: {weight: 3}", "lick"),
        ("id: 1", "id: 0", "same id"),
        ("attribution_window_sec: 1800", "attribution_window_sec: 0", "attribution_window_sec"),
        ("push: false", "pushed: false", "pushed"),
        ("filters: [seen,", "filters: [sean,", "filters"),
    ],
)
def test_invalid_file_is_refused_with_its_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = SHIPPED.read_text()
    bad = tmp_path / "scenarios.yaml"
    bad.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=message) as refused:
        load_scenarios(bad)
    line = int(str(refused.value).removeprefix(f"{bad}:").partition(":")[0])
    # A rule about all of an entry, or about two of them, names where that begins.
    begin = {"lick": "\n  video:", "same id": "#"}.get(message)
    expected = text[: text.index(old) if begin is None else text.index(begin) + 1].count("\n") + 1
    assert line in (expected, expected + 1)


@pytest.mark.parametrize(
    ("content", "message"), [(b"# caf\xe9\n", "save it as UTF-8"), (b"version: 1\x07\n", "unacceptable")]
)
def test_binary_file_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    bad = tmp_path / "scenarios.yaml"
    bad.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as refused:
        load_scenarios(bad)
    assert "\n" not in str(refused.value)


def test_infinite_attribution_window_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "scenarios.yaml"
    bad.write_text(SHIPPED.read_text().replace("attribution_window_sec: 1800", "attribution_window_sec: .inf", 1))
    with pytest.raises(ConfigError, match="finite"):
        load_scenarios(bad)


def test_malformed_yaml_is_refused_with_its_line(tmp_path: Path) -> None:
    bad = tmp_path / "scenarios.yaml"
    bad.write_text("version: 1\nscenarios: {video: [\n")
    with pytest.raises(ConfigError, match=r"scenarios.yaml:3: "):
        load_scenarios(bad)


def test_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="EDDY_SCENARIOS_PATH"):
        load_scenarios(tmp_path / "none.yaml")


@pytest.mark.parametrize(("value", "normalised"), [(None, 0.5), (1, 0.0), (5, 1.0), (9, 1.0), (-3, 0.0), (2, 0.25)])
def test_values_are_clipped_and_scaled(value: float | None, normalised: float) -> None:
    assert ValueRange(min=1, max=5, default=3).normalise(value) == normalised


def with_pottery(text: str, number: int = MAX_SCENARIOS - 1) -> str:
    """The shipped file with a further scenario."""
    actions = "{impression: {weight: 0}, play: {weight: 1}}"
    return f"{text}\n  pottery: {{id: {number}, actions: {actions}, attribution_window_sec: 60}}\n"


def changed(tmp_path: Path, text: str) -> Scenarios:
    path = tmp_path / "changed.yaml"
    path.write_text(text)
    return load_scenarios(path)


def test_subscriber_gets_present_and_added_scenarios(tmp_path: Path) -> None:
    scenarios, received = load_scenarios(SHIPPED), dict[str, int]()
    scenarios.subscribe(lambda name, scenario: received.update({name: scenario.id}))
    assert received == scenarios.ids
    assert scenarios.adopt(changed(tmp_path, with_pottery(SHIPPED.read_text()))) == (["pottery"], [])
    assert received == scenarios.ids == load_scenarios(SHIPPED).ids | {"pottery": MAX_SCENARIOS - 1}
    assert scenarios.adopt(load_scenarios(SHIPPED)) == ([], ["pottery"])
    assert scenarios["pottery"].attribution_window_sec == 60


def test_running_service_keeps_a_changed_scenario_as_it_was(tmp_path: Path) -> None:
    scenarios = load_scenarios(SHIPPED)
    other = SHIPPED.read_text().replace("attribution_window_sec: 1800", "attribution_window_sec: 60", 1)
    assert scenarios.adopt(changed(tmp_path, other)) == ([], ["video"])
    assert scenarios["video"].attribution_window_sec == 1800


def test_id_in_use_is_refused_and_nothing_is_added(tmp_path: Path) -> None:
    scenarios = load_scenarios(SHIPPED)
    text = with_pottery(SHIPPED.read_text().replace("  search:\n    id: 4", f"  find:\n    id: {MAX_SCENARIOS - 1}"), 4)
    with pytest.raises(ConfigError, match="pottery has the id 4, which search uses"):
        scenarios.adopt(changed(tmp_path, text))
    assert "pottery" not in scenarios.ids
    assert "find" not in scenarios.ids


def test_pickle_leaves_subscribers_out() -> None:
    scenarios = load_scenarios(SHIPPED)
    scenarios.subscribe(lambda *_: None)  # a lambda cannot be pickled
    assert pickle.loads(pickle.dumps(scenarios)).ids == scenarios.ids


def test_subscribers_are_held_by_weak_reference(tmp_path: Path) -> None:
    """A learner that another one replaces can be collected."""

    class Subscriber:
        def add(self, name: str, _: Scenario) -> None:
            received.append(name)

    received: list[str] = []
    scenarios, replaced, kept = load_scenarios(SHIPPED), Subscriber(), Subscriber()
    scenarios.subscribe(replaced.add)
    scenarios.subscribe(kept.add)
    reference = weakref.ref(replaced)
    del replaced
    assert reference() is None
    received.clear()
    scenarios.adopt(changed(tmp_path, with_pottery(SHIPPED.read_text())))
    assert received == ["pottery"]


def test_former_keys_are_read_with_a_warning(tmp_path: Path) -> None:
    text = SHIPPED.read_text()
    former = text
    for present, name in FORMER_KEYS.items():
        former = former.replace(f"{present}:", f"{name}:")
    with structlog.testing.capture_logs() as logs:
        assert changed(tmp_path, former).scenarios == changed(tmp_path, text).scenarios
    assert former != text
    assert {(line["event"], line["former"], line["present"]) for line in logs} == {
        ("scenarios_key_renamed", name, present) for present, name in FORMER_KEYS.items()
    }


def test_a_key_under_both_names_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="considered"):
        changed(tmp_path, SHIPPED.read_text().replace("{ranked: 60", "{ranked: 60, considered: 50", 1))
