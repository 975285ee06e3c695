"""Signal handling and error output of commands."""

import logging
import signal
import sys
from types import FrameType
from typing import NoReturn

from eddy.errors import EddyError


def end_at_signals() -> None:
    """Let SIGINT, SIGTERM and SIGHUP unwind the main thread, so that started processes are stopped."""
    # aiokafka also raises the errors that it logs, or retries.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # Shells start background jobs with SIGINT ignored; Ctrl-C should work there too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _unwind)
    signal.signal(signal.SIGHUP, _unwind)


def first_error(group: BaseExceptionGroup[EddyError]) -> EddyError:
    """The first error of a group, which may contain groups."""
    error = group.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error


def _unwind(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
