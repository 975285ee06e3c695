"""scenarios.yaml: the shipped file holds, and a bad one is refused with its line."""

from pathlib import Path

import pytest

from shared.errors import ConfigError
from shared.paths import REPO_ROOT
from shared.scenarios import ValueRange, load_scenarios

SHIPPED = REPO_ROOT / "scenarios.yaml"


def test_shipped_file_holds() -> None:
    scenarios = load_scenarios(SHIPPED)
    assert scenarios.ids == {"video": 0, "shop": 1, "social": 2, "music": 3, "search": 4}
    assert scenarios["video"].actions["rate"].normalise(4.0) == 0.75


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("share: {weight: 4}", "share: {weight: heavy}", "share.weight"),
        ("default: 3}", "default: 9}", "min <= default <= max"),
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
    assert 1 <= line <= text.count("\n") + 1


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
