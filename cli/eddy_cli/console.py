"""How commands end: a failure that a person can mend is one line, an interrupt is no traceback."""

import logging
import signal
import sys
from types import FrameType
from typing import NoReturn

from eddy.errors import EddyError


def end_at_signals() -> None:
    """SIGINT, SIGTERM and SIGHUP unwind the main thread, so that everything that was started is stopped."""
    # What aiokafka logs as errors it also raises, or tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # A shell starts background jobs with SIGINT ignored; Ctrl-C is to work there too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _unwind)
    signal.signal(signal.SIGHUP, _unwind)


def first_error(group: BaseExceptionGroup[EddyError]) -> EddyError:
    """The first error of a group of groups."""
    error = group.exceptions[0]
    return first_error(error) if isinstance(error, BaseExceptionGroup) else error


def _unwind(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
