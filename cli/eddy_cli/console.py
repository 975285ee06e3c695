"""How the commands of the lab end: a failure that a person can mend is one line, an interrupt is no traceback."""

import logging
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from eddy.errors import ConfigError, FatalError


def run_command(name: str, main: Callable[[], int | None]) -> NoReturn:
    """Run `main` and exit with what it returns.

    ConfigError and FatalError become one line on stderr and exit code 1; SIGINT and SIGTERM unwind, so that everything that
    was started is stopped, and exit with 130 and 143.
    """
    # What aiokafka logs as errors it also raises, or tries again.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    # A shell starts what runs in its background with SIGINT ignored; Ctrl-C, or whoever stands for it, is to work there too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _unwind)
    signal.signal(signal.SIGHUP, _unwind)
    try:
        sys.exit(main() or 0)
    except (ConfigError, FatalError) as error:
        print(f"{name}: {error}", file=sys.stderr, flush=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)


def _unwind(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
