"""Code that packs or walks records by hand names the schema version whose field order it follows; a newer version must reach it."""

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
def test_layouts_by_hand_follow_the_schemas_of_today(path: Path) -> None:
    assert behind(path.read_text(), str(path.relative_to(REPO_ROOT))) == []


def test_a_schema_that_has_moved_on_names_the_code_to_bring_up() -> None:
    assert {path.name for path in FILES} >= {
        "user_state.py",
        "item_state.py",
        "user_updater.py",
        "slates.py",
        "examples.py",
    }
    assert behind('_HEADER = frozen_header("user_features", 1)', "user_state.py") == [
        "user_state.py packs or walks user_features by hand as of version 1, and schemas/user_features.avsc is at version 2: "
        "bring its field order and the number in frozen_header up to 2"
    ]


def test_the_newest_frozen_version_has_the_header_of_today() -> None:
    assert frozen_header("user_features", len(former_versions("user_features"))) == Codec.of("user_features").header


def test_layouts_are_named_by_version_and_not_taken_for_the_schema_of_today() -> None:
    """A header of whatever the schema is today before bytes of a fixed field order would make other records than it says."""
    named = [path for path in (REPO_ROOT / "services").rglob("*.py") if "contract.avro" in path.read_text()]
    assert [path.name for path in named if path not in FILES] == []
