"""Groups of small processes: exit codes, signals, and no remains."""

import json
import signal

import pytest

from tests.cli.processes import Command, command

pytestmark = pytest.mark.broker

# Runs the group that its arguments describe: {"add": {name: code}, "main": code or null, "stop_timeout_sec": seconds}.
GROUP = """
import json, os, sys
from eddy_cli.processes import ProcessGroup
options = json.loads(sys.argv[1])
group = ProcessGroup(options["stop_timeout_sec"])
for name, code in options["add"].items():
    group.add(name, [sys.executable, "-u", "-c", code], os.environ)
if options["main"]:
    group.add_main("main", [sys.executable, "-u", "-c", options["main"]], os.environ)
if options["fail"]:
    group.watch(lambda: group.fail(options["fail"]))
sys.exit(group.run())
"""
FOREVER = "import signal; print('waiting'); signal.pause()"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('waiting')\nwhile True: signal.pause()"


def group(add: dict[str, str], main: str | None = None, stop_timeout_sec: float = 20, fail: str = "") -> list[str]:
    options = {"add": add, "main": main, "stop_timeout_sec": stop_timeout_sec, "fail": fail}
    return ["-c", GROUP, json.dumps(options)]


def started(running: Command, *names: str) -> None:
    """Read on until each of these has said that it waits."""
    missing = set(names)
    while missing:
        running.read_until("| waiting")
        missing -= {name for name in missing if f" {name}" in running.output.splitlines()[-1]}


@pytest.mark.parametrize(
    ("add", "main", "code"),
    [
        ({"one": FOREVER}, "pass", 0),
        ({"one": FOREVER}, "raise SystemExit(3)", 3),
        ({"one": FOREVER, "two": "raise SystemExit(4)"}, FOREVER, 4),
        ({"one": FOREVER, "two": "pass"}, FOREVER, 1),
        ({"one": FOREVER, "two": "pass"}, None, 1),
        ({"one": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"}, FOREVER, 128 + signal.SIGKILL),
    ],
    ids=[
        "main-ends",
        "main-fails",
        "service-fails",
        "service-ends-early",
        "service-ends-without-main",
        "service-is-killed",
    ],
)
def test_exit_code_is_that_of_the_first_that_ends(add: dict[str, str], main: str | None, code: int) -> None:
    with command(group(add, main)) as running:
        assert running.finish() == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_all_processes(number: signal.Signals) -> None:
    with command(group({"one": FOREVER, "two": FOREVER}, FOREVER)) as running:
        started(running, "one", "two", "main")
        running.send(number)
        assert running.finish() == 128 + number
        running.assert_nothing_left()
        assert "Traceback" not in running.output


def test_ctrl_c_to_the_foreground_group_ends_all_processes() -> None:
    with command(group({"one": FOREVER, "two": FOREVER})) as running:
        started(running, "one", "two")
        running.send_group(signal.SIGINT)
        assert running.finish() == 128 + signal.SIGINT
        running.assert_nothing_left()


def test_processes_end_with_a_killed_manager() -> None:
    with command(group({"one": FOREVER, "two": STUBBORN})) as running:
        started(running, "one", "two")
        running.send(signal.SIGKILL)
        running.assert_nothing_left()


def test_process_that_does_not_stop_is_killed_at_the_deadline() -> None:
    with command(group({"one": STUBBORN, "two": FOREVER}, stop_timeout_sec=0.5)) as running:
        started(running, "one", "two")
        running.send(signal.SIGTERM)
        assert running.finish() == 128 + signal.SIGTERM
        running.assert_nothing_left()


def test_output_is_prefixed_by_name() -> None:
    with command(
        group({"one": FOREVER}, "print('to stdout'); import sys; print('to stderr', file=sys.stderr)")
    ) as running:
        running.finish()
        assert [line.split(maxsplit=1)[1] for line in running.output.splitlines() if "| to std" in line] == [
            "main   | to stdout",
            "main   | to stderr",
        ]


def test_external_failure_is_printed_and_ends_all_processes() -> None:
    with command(group({"one": FOREVER}, fail="kafka: it is gone")) as running:
        assert running.finish() == 1
        assert "| kafka: it is gone" in running.output


def test_stopped_reader_leaves_no_task() -> None:
    with command(group({"one": "import itertools\nfor number in itertools.count(): print(number)"})) as running:
        running.read_until("one")
        running.read_until("| 1")
        assert running.process.stdout is not None
        running.process.stdout.close()
        running.process.wait(30)
        running.assert_nothing_left()
