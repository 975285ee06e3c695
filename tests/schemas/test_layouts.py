"""Code that encodes or decodes records by hand names the version of the schema that it follows; it must be the newest one."""

import re
from pathlib import Path

import pytest

from eddy.contract.codec import Codec, former_versions, frozen_header
from eddy.paths import REPO_ROOT

NAMED = re.compile(r'frozen_header\("(\w+)", (\d+)\)')


def layouts(code: str) -> dict[str, int]:
    """The newest version of each record that `code` follows by hand."""
    newest: dict[str, int] = {}
    for record, version in NAMED.findall(code):
        newest[record] = max(int(version), newest.get(record, 0))
    return newest


def behind(code: str, where: str) -> list[str]:
    """What has to be done about layouts that a schema has left behind."""
    return [
        f"{where} packs or walks {record} by hand as of version {version}, and schemas/{record}.avsc is at version {today}: "
        f"bring its field order and the number in frozen_header up to {today}"
        for record, version in layouts(code).items()
        if version != (today := len(former_versions(record)))
    ]


FILES = [path for path in (REPO_ROOT / "services").rglob("*.py") if layouts(path.read_text())]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_hand_written_layouts_follow_the_present_schemas(path: Path) -> None:
    assert behind(path.read_text(), str(path.relative_to(REPO_ROOT))) == []


def test_changed_schema_names_the_code_to_adapt() -> None:
    assert {path.name for path in FILES} >= {
        "user_state.py",
        "item_state.py",
        "user_updater.py",
        "slates.py",
        "examples.py",
    }
    assert behind('_HEADER = frozen_header("user_features", 1)', "user_state.py") == [
        "user_state.py packs or walks user_features by hand as of version 1, and schemas/user_features.avsc is at version 7: "
        "bring its field order and the number in frozen_header up to 7"
    ]


def test_newest_frozen_version_has_the_present_header() -> None:
    assert frozen_header("user_features", len(former_versions("user_features"))) == Codec.of("user_features").header


def test_hand_written_layouts_name_a_version() -> None:
    """A header of whatever the schema is today before bytes of a fixed field order would make other records than it says."""
    named = [path for path in (REPO_ROOT / "services").rglob("*.py") if "contract.avro" in path.read_text()]
    assert [path.name for path in named if path not in FILES] == []
