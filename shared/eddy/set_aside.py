"""Sets aside local files that cannot be used, so that a service starts without them and people can look at them."""

from pathlib import Path

import structlog

log = structlog.get_logger()


def set_aside(path: Path, reason: str) -> None:
    """Rename `path` to `<path>.broken`, in place of a former one, and log why. A file that cannot be renamed is only logged."""
    target = path.with_name(f"{path.name}.broken")
    try:
        path.replace(target)
    except OSError as error:
        log.warning("file_not_used", path=str(path), reason=reason[:200], not_renamed=str(error))
    else:
        log.warning("file_set_aside", path=str(path), to=str(target), reason=reason[:200])
