"""Checks of this machine: Python, packages, files, disk, optional tools."""

import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

from eddy import __version__
from eddy.contract.scenarios import load_scenarios
from eddy.errors import EddyError
from eddy.paths import DATA, DOWNLOADS, RUNS
from eddy.settings import Settings
from eddy_cli.broker.jars import KAFKA_VERSION, kafka_folder
from eddy_cli.broker.process import MIN_FREE_BYTES
from eddy_cli.doctor.finding import Finding, note, ok, wrong

MIN_PYTHON = (3, 11)
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < MIN_PYTHON:
        return wrong("python", version, "Install Python 3.11 or later")
    return ok("python", f"{version} in {sys.prefix}")


def packages() -> Finding:
    """Check that all installed packages of Eddy have the same version."""
    versions = {
        dist.metadata["Name"]: dist.version for dist in distributions() if dist.metadata["Name"].startswith("eddy-")
    }
    others = sorted(name for name, version in versions.items() if version != __version__)
    if others:
        observation = f"{others[0]} is {versions[others[0]]}, eddy-core is {__version__}"
        return wrong("packages", observation, "Install all packages of Eddy with one version")
    return ok("packages", f"eddy {__version__}: {', '.join(sorted(versions))}")


def scenarios(settings: Settings) -> Finding:
    try:
        loaded = load_scenarios(settings.scenarios_path)
    except EddyError as error:
        return wrong("scenarios", str(error), "docs/scenarios.md describes the entries")
    return ok("scenarios", f"{', '.join(loaded.scenarios)} in {settings.scenarios_path}")


def disk(settings: Settings) -> Iterator[Finding]:
    """Check every file system that Eddy writes to."""
    folders = {"state": settings.state_dir, "runs": RUNS, "data sets": DATA, "downloads": DOWNLOADS}
    by_device: dict[int, tuple[Path, list[str]]] = {}
    for name, folder in folders.items():
        existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
        by_device.setdefault(existing.stat().st_dev, (existing, []))[1].append(name)
    for existing, names in by_device.values():
        free = shutil.disk_usage(existing).free
        text = f"{free / 1024**3:.1f} GB free at {existing} for {', '.join(names)}"
        if free < MIN_FREE_BYTES:
            yield wrong("disk", text, "Free at least 1 GB")
        else:
            yield ok("disk", text)


def optional() -> Iterator[Finding]:
    """Check tools that only some commands need."""
    if kafka_folder().is_dir():
        yield ok("broker", f"Apache Kafka {KAFKA_VERSION} is in {kafka_folder()}")
    else:
        yield note("broker", f"Apache Kafka {KAFKA_VERSION} is downloaded (44 MB) when `eddy run` first needs it")
    yield _tool("docker", ("docker", "podman"), "`make up`", "Install Docker with its compose plugin")
    yield _tool("browser", BROWSERS, "the console's tests", "Install chromium")


def _tool(name: str, commands: tuple[str, ...], needed_by: str, remedy: str) -> Finding:
    path = next(filter(None, map(shutil.which, commands)), None)
    return ok(name, path) if path else note(name, f"not installed; only {needed_by} needs it", remedy)
