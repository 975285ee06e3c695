"""The command line: what it lists, what it hands on, what it completes."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import eddy
from eddy_cli.commands import make_app
from eddy_cli.commands.replay import arguments
from eddy_cli.replay.options import ReplayOptions

RUNNER = CliRunner()
COMMANDS = ("run", "exec", "demo", "replay", "broker", "topics", "encode", "data", "boards", "docs", "doctor")


def test_version_and_help() -> None:
    assert RUNNER.invoke(make_app(), ["--version"]).stdout == f"eddy {eddy.__version__}\n"
    shown = RUNNER.invoke(make_app(), ["--help"]).stdout
    assert [name for name in COMMANDS if f"│ {name} " not in shown] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    assert RUNNER.invoke(make_app(), [name, "--help"]).exit_code == 0


def test_what_demo_hands_on_is_what_replay_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = ReplayOptions(
        dataset="ml-1m",
        data=Path("folder with spaces"),
        scenario="shop",
        action="purchase",
        limit=5,
        users=6,
        speed=7.5,
        rate=8.0,
        window=9,
        max_skew_sec=10.0,
        deadline_sec=11.0,
        ready_within_sec=12.0,
        output=Path("out"),
    )
    played: list[ReplayOptions] = []
    monkeypatch.setattr("eddy_cli.replay.command.play", played.append)
    for options in (asked, ReplayOptions()):
        assert RUNNER.invoke(make_app(), ["replay", *arguments(options)]).exit_code == 0
    assert played == [asked, ReplayOptions()]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["replay", "--speed", "0"], "0.0 is not above 0"),
        (["replay", "--limit", "-1"], "greater than or equal to 0"),
        (["encode", "user_evnt"], "there is no record user_evnt"),
        (["run", "scorr"], "eddy run: there is no service scorr: choose one of features, scorer"),
        (["data", "ml-2m"], "eddy data: there is no data set ml-2m: choose one of ml-100k, ml-1m"),
    ],
)
def test_what_does_not_hold_is_refused(typed: list[str], said: str) -> None:
    refused = RUNNER.invoke(make_app(), typed, prog_name="eddy")
    assert refused.exit_code != 0
    assert said in refused.output


def test_services_and_data_sets_are_completed() -> None:
    for words, offered in (("eddy run sc", "scorer"), ("eddy data ml-1", "ml-100k"), ("eddy top", "topics")):
        asked = {"_EDDY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        assert offered in RUNNER.invoke(make_app(), env=asked, prog_name="eddy").stdout.split()
