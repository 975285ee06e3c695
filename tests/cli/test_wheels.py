"""The packages installed from wheels: they use no file of the checkout and run in an empty folder."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import eddy
from eddy.contract.codec import Codec
from eddy.paths import REPO_ROOT
from tests.cli.test_packages import FOLDERS
from tests.poll import poll_until_sync

pytestmark = [pytest.mark.stack, pytest.mark.timeout(480)]

EVENT = {
    "event_id": "e1",
    "user_id": "u1",
    "scenario": "video",
    "action": "click",
    "item_id": "i1",
    "occurred_at": 1_700_000_000_000,
}


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheels, and an empty folder to run in."""

    python: Path
    wheels: Path
    folder: Path
    environment: Mapping[str, str]

    def run(self, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            arguments, cwd=self.folder, env=self.environment, input=given.encode(), capture_output=True, check=False
        )

    def eddy(self, *arguments: str, given: str = "") -> "subprocess.CompletedProcess[bytes]":
        return self.run(str(self.python.with_name("eddy")), *arguments, given=given)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheels of all packages in an environment that has the dependencies, but not the checkout, on its path."""
    root = tmp_path_factory.mktemp("wheels")
    uv = Path(sys.executable).with_name("uv")
    for folder in FOLDERS:
        build = [
            uv,
            "build",
            "--quiet",
            "--wheel",
            "--no-build-isolation",
            "--out-dir",
            root / "dist",
            REPO_ROOT / folder,
        ]
        subprocess.run(build, check=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "venv"], check=True)
    python = root / "venv" / "bin" / "python"
    _link_dependencies(next((root / "venv" / "lib").glob("python*/site-packages")))
    wheels = sorted((root / "dist").glob("*.whl"))
    assert len(wheels) == len(FOLDERS)
    subprocess.run([uv, "pip", "install", "--quiet", "--no-deps", "--python", python, *wheels], check=True)
    home, empty = root / "home", root / "empty"
    home.mkdir()
    empty.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return Installed(python, root / "dist", empty, {**kept, "HOME": str(home), "OMP_NUM_THREADS": "1"})


def _link_dependencies(site: Path) -> None:
    """Everything that is installed here but Eddy, and but the .pth files that lead to the checkout."""
    for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
        if not entry.name.startswith(("eddy", "_eddy")) and entry.suffix != ".pth":
            (site / entry.name).symlink_to(entry)


def test_no_file_comes_from_the_checkout(installed: Installed) -> None:
    program = (
        "import sys, eddy_cli.stack, eddy_lab.commands, eddy.paths as paths, eddy.settings as settings;"
        "print([m.__file__ for n, m in sys.modules.items() if n.split('.')[0].startswith('eddy') and m.__file__]);"
        "print([str(p) for p in (paths.SCHEMAS, paths.SCENARIOS, paths.STATE, paths.RUNS, paths.DATA)])"
    )
    done = installed.run(str(installed.python), "-c", program)
    assert done.returncode == 0, done.stderr.decode()
    modules, paths = done.stdout.decode().splitlines()
    assert "site-packages/eddy/" in modules
    assert str(REPO_ROOT) not in modules + paths


def test_the_command_works_in_an_empty_folder(installed: Installed) -> None:
    assert installed.eddy("--version").stdout.decode() == f"eddy {eddy.__version__}\n"
    encoded = installed.eddy("encode", "user_event", given=json.dumps(EVENT))
    assert Codec.of("user_event").decode(encoded.stdout)["item_id"] == "i1"
    assert b"stream" in installed.eddy("evaluate", "--help").stdout
    refused = installed.eddy("docs", "reference")
    assert refused.returncode == 1
    assert refused.stderr.decode().startswith("eddy docs: this command needs Eddy's repository")
    assert len(refused.stderr.splitlines()) == 1
    assert not list(installed.folder.iterdir())


def test_doctor_finds_no_problem_with_a_running_stack(
    installed: Installed, kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    settings = {"EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka, "EDDY_TOPIC_PREFIX": topic_prefix}
    at_work = replace(installed, environment={**installed.environment, **settings})
    log = tmp_path / "stack.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [at_work.python.with_name("eddy"), "run"],
            cwd=at_work.folder,
            env=at_work.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        poll_until_sync(lambda: "ready: console on http://" in log.read_text(), 240, what="the stack is ready")
        doctor = at_work.eddy("doctor")
        assert doctor.returncode == 0, doctor.stdout.decode()
        assert b"eddy-lab" in doctor.stdout
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(60) == 128 + signal.SIGINT
    finally:
        process.kill()
        process.wait()
    assert "Traceback" not in log.read_text()
    assert (Path(at_work.environment["HOME"]) / ".local" / "state" / "eddy").is_dir()
    assert not list(at_work.folder.iterdir())


def test_commands_of_the_lab_say_how_to_install_it(installed: Installed) -> None:
    uv = [Path(sys.executable).with_name("uv"), "pip"]
    quiet = ["--quiet", "--python", installed.python]
    subprocess.run([*uv, "uninstall", *quiet, "eddy-lab"], check=True)
    try:
        refused = installed.eddy("evaluate", "stream", "--limit", "5")
    finally:
        subprocess.run([*uv, "install", *quiet, "--no-deps", *installed.wheels.glob("eddy_lab-*.whl")], check=True)
    assert refused.returncode == 1
    assert refused.stderr.decode().startswith("eddy evaluate: this command needs the package eddy-lab. ")
