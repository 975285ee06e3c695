"""The command line: help, options, errors, completion."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

import eddy
from eddy_cli.commands import make_app
from eddy_cli.commands.replay import DEMO_EVENTS, arguments
from eddy_cli.replay.options import ReplayOptions

RUNNER = CliRunner()
COMMANDS = (
    "run",
    "exec",
    "demo",
    "replay",
    "broker",
    "topics",
    "keys",
    "api-keys",
    "encode",
    "data",
    "boards",
    "docs",
    "doctor",
)


def test_version_and_help() -> None:
    assert RUNNER.invoke(make_app(), ["--version"]).stdout == f"eddy {eddy.__version__}\n"
    text = RUNNER.invoke(make_app(), ["--help"]).stdout
    assert [name for name in COMMANDS if f"│ {name} " not in text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    assert RUNNER.invoke(make_app(), [name, "--help"]).exit_code == 0


def test_replay_reads_the_arguments_that_demo_passes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    every_option = ReplayOptions(
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
    for options in (every_option, ReplayOptions()):
        assert RUNNER.invoke(make_app(), ["replay", *arguments(options)]).exit_code == 0
    assert played == [every_option, ReplayOptions()]


def test_demo_plays_a_part_of_the_data_and_replay_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []
    played: list[ReplayOptions] = []
    monkeypatch.setattr("eddy_cli.stack.run_stack", lambda command: commands.append(command) or 0)
    monkeypatch.setattr("eddy_cli.replay.command.play", played.append)
    for limit in ([], ["--limit", "0"]):
        assert RUNNER.invoke(make_app(), ["demo", "--data", "folder", *limit]).exit_code == 0
        assert RUNNER.invoke(make_app(), ["replay", "--data", "folder", *limit]).exit_code == 0
    assert [command[4:] for command in commands] == [
        ["--data", "folder", "--limit", str(DEMO_EVENTS)],
        ["--data", "folder"],
    ]
    assert played == [ReplayOptions(data=Path("folder"))] * 2
    assert RUNNER.invoke(make_app(), ["demo", "--max-skew", "5"]).exit_code != 0


@pytest.mark.parametrize(
    ("arguments_given", "message"),
    [
        (["replay", "--speed", "0"], "0.0 is not above 0"),
        (["replay", "--limit", "-1"], "greater than or equal to 0"),
        (["encode", "user_evnt"], "there is no record user_evnt"),
        (["run", "scorr"], "eddy run: there is no service scorr: choose one of features, scorer"),
        (["data", "ml-2m"], "eddy data: there is no data set ml-2m: choose one of ml-100k, ml-1m"),
    ],
)
def test_invalid_argument_is_refused(arguments_given: list[str], message: str) -> None:
    refused = RUNNER.invoke(make_app(), arguments_given, prog_name="eddy")
    assert refused.exit_code != 0
    assert message in refused.output


def test_services_and_data_sets_are_completed() -> None:
    for words, completion in (("eddy run sc", "scorer"), ("eddy data ml-1", "ml-100k"), ("eddy top", "topics")):
        environment = {"_EDDY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        assert completion in RUNNER.invoke(make_app(), env=environment, prog_name="eddy").stdout.split()
