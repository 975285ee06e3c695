"""The jars of Apache Kafka: downloaded once, checked against kafka.lock, kept in the user's cache folder.

This is also the adapter of jgo, which has no type stubs. jgo and requests take a second to import: only a download imports them.
"""

import hashlib
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from eddy.errors import FatalError
from eddy.paths import DOWNLOADS

KAFKA_VERSION = "4.1.0"
# Kafka and the logging backend are resolved separately. Together, the backend's bill of materials would select Kafka's
# dependencies. Kafka requires log4j 2.24.3 and SLF4J 1.x.
COORDINATES = (f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}", "org.apache.logging.log4j:log4j-slf4j-impl:2.24.3")
LOCK = Path(__file__).with_name("kafka.lock")
_DOWNLOADS_AT_ONCE = 8


def kafka_folder() -> Path:
    """Folder of the downloaded jars."""
    return DOWNLOADS / f"kafka-{KAFKA_VERSION}"


def kafka_jars() -> Path:
    """The folder with exactly the jars of kafka.lock. Raises FatalError if they cannot be downloaded."""
    folder = kafka_folder()
    expected = locked_jars()
    if folder.is_dir() and {path.name for path in folder.glob("*.jar")} == set(expected):
        return folder
    print(f"Downloading Apache Kafka {KAFKA_VERSION} (44 MB, once) ...", flush=True)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix="fetching-") as staging:
            fetched = _fetch(Path(staging))
            check_jars(fetched, expected)
            _move(fetched, folder)
    except OSError as error:
        import requests

        if isinstance(error, requests.RequestException):
            raise FatalError(_no_network(type(error).__name__)) from error
        raise FatalError(f"cannot write Kafka to {folder.parent} ({error.strerror}): free some space there") from error
    return folder


def locked_jars() -> dict[str, str]:
    """SHA-256 by file name, from kafka.lock."""
    return {name: digest for digest, name in (line.split() for line in LOCK.read_text().splitlines())}


def check_jars(folder: Path, expected: dict[str, str]) -> None:
    """Raise FatalError unless `folder` has exactly the `expected` files (SHA-256 by name)."""
    digests = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.jar")}
    if digests != expected:
        wrong = sorted(name for name in digests.keys() | expected.keys() if digests.get(name) != expected.get(name))
        raise FatalError(
            f"{wrong[0]} does not have the checksum of {LOCK.name}. The download may be damaged: try again."
        )


def _fetch(staging: Path) -> Path:
    from jgo.maven import MavenContext

    context = MavenContext(repo_cache=staging / "repository", timeout=60)
    try:
        resolved, dependencies = context.resolver.resolve([context.create_dependency(COORDINATES[0])])
        artifacts = [entry.artifact for entry in (*resolved, *dependencies)]
        artifacts.append(context.create_dependency(COORDINATES[1]).artifact)
        with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
            paths = list(pool.map(lambda artifact: artifact.resolve(), artifacts))
    except RuntimeError as error:
        raise FatalError(_no_network(str(error).splitlines()[0])) from error
    jars = staging / "jars"
    jars.mkdir()
    for path in paths:
        shutil.move(path, jars / path.name)
    return jars


def _move(fetched: Path, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        fetched.rename(folder)
    except OSError:
        # Another process has downloaded the same files meanwhile.
        if not folder.is_dir():
            raise


def _no_network(detail: str) -> str:
    return (
        f"cannot download Apache Kafka from repo.maven.apache.org ({detail}): check the network, "
        "or set EDDY_KAFKA_BOOTSTRAP_SERVERS to a Kafka that runs already"
    )
