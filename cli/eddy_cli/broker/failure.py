"""Why a broker ended, out of what it said."""

import re
from pathlib import Path

from eddy.errors import FatalError

_ERROR = re.compile(r"(?:ERROR|FATAL|Error:?|Exception in thread \S+) (.*)")
_LONGEST_REASON = 200


class PortTakenError(FatalError):
    """Something else listens where the broker should."""


def why_it_ended(code: int | None, said: str, log_file: Path) -> FatalError:
    """One line that says what to do, from its exit code and its logs, which are kept in `log_file`."""
    if "Address already in use" in said:
        return PortTakenError(
            "Kafka's port was taken while it started: stop what listens there, or choose another port"
        )
    if "No space left on device" in said:
        return FatalError(f"the disk filled up under Kafka: free some space and start again; its log is in {log_file}")
    if "OutOfMemoryError" in said or "insufficient memory" in said:
        return FatalError(f"Kafka ran out of memory: stop something else and start again; its log is in {log_file}")
    errors = _ERROR.findall(said)
    reason = errors[-1].strip()[:_LONGEST_REASON] if errors else "no reason given"
    return FatalError(f"Kafka ended with code {code} ({reason}): its log is in {log_file}")
