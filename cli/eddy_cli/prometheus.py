"""A real Prometheus as a local process, for tests of boards and alerts: the installed one, or Debian's package, unpacked."""

import json
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from eddy.errors import FatalError
from eddy.paths import DOWNLOADS
from eddy_cli.ports import HOST, free_port


def binary(name: str) -> Path:
    """Path of `prometheus` or `promtool`. Raises FatalError if neither PATH nor a package mirror has it."""
    installed = shutil.which(name)
    if installed:
        return Path(installed)
    folder = DOWNLOADS / "prometheus"
    if not (folder / "usr/bin" / name).exists():
        _fetch(folder)
    return folder / "usr/bin" / name


def _fetch(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
            subprocess.run(["apt-get", "download", "prometheus"], cwd=scratch, check=True, capture_output=True)
            (package,) = Path(scratch).glob("prometheus_*.deb")
            subprocess.run(["dpkg", "-x", package, Path(scratch) / "unpacked"], check=True, capture_output=True)
            shutil.rmtree(folder, ignore_errors=True)
            (Path(scratch) / "unpacked").rename(folder)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise FatalError(
            f"prometheus is not installed, and Debian's package cannot be downloaded ({error}). Install Prometheus and put it on PATH."
        ) from error


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A running Prometheus."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The present series of an expression. Raises ValueError with the message of Prometheus for an invalid one."""
        address = f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}"
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return list(json.load(answer)["data"]["result"])
        except urllib.error.HTTPError as refused:
            raise ValueError(refused.read().decode()) from refused


@contextmanager
def running_prometheus(targets: Mapping[str, str], folder: Path, every: str = "1s") -> Iterator[Prometheus]:
    """Scrape each service (name: host and port) into `folder` until the block ends."""
    config = {
        "global": {"scrape_interval": every},
        "scrape_configs": [
            {
                "job_name": "eddy",
                "honor_labels": True,
                "static_configs": [{"targets": [at], "labels": {"service": name}} for name, at in targets.items()],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"{HOST}:{free_port()}"
    with (folder / "prometheus.log").open("wb") as output:
        process = subprocess.Popen(
            [
                binary("prometheus"),
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address={address}",
            ],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Prometheus(f"http://{address}")
    finally:
        process.kill()
        process.wait()
