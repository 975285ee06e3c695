"""Sets aside local files that cannot be used, so that a service starts without them and people can look at them."""

from pathlib import Path

import structlog

log = structlog.get_logger()


def set_aside(path: Path, reason: str) -> None:
    """Rename `path` to `<path>.broken`, in place of a former one, and log why. A file that cannot be renamed is only logged."""
    target = _target(path)
    try:
        path.replace(target)
    except OSError as error:
        log.warning("file_not_used", path=str(path), reason=reason[:200], not_renamed=str(error))
    else:
        log.warning("file_set_aside", path=str(path), to=str(target), reason=reason[:200])


def remove_set_aside(path: Path) -> None:
    """Delete the file that was set aside from `path`, if there is one: nothing can be erased in it."""
    target = _target(path)
    if target.exists():
        target.unlink(missing_ok=True)
        log.warning("set_aside_file_deleted", path=str(target), reason="a user or an item was erased")


def _target(path: Path) -> Path:
    return path.with_name(f"{path.name}.broken")
