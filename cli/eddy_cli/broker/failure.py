"""The reason for the end of a broker, from its logs."""

import re
from pathlib import Path

from eddy.errors import FatalError

_ERROR = re.compile(r"(?:ERROR|FATAL|Error:?|Exception in thread \S+) (.*)")
_MAX_REASON_CHARS = 200


class PortTakenError(FatalError):
    """Another process listens on the broker's port."""


def failure_of(code: int | None, logs: str, log_file: Path) -> FatalError:
    """The error, one line that says what to do, for the exit code and logs of a broker; `log_file` has the logs."""
    if "Address already in use" in logs:
        return PortTakenError(
            "Kafka's port was taken while it started: stop what listens there, or choose another port"
        )
    if "No space left on device" in logs:
        return FatalError(f"the disk filled up under Kafka: free some space and start again; its log is in {log_file}")
    if "OutOfMemoryError" in logs or "insufficient memory" in logs:
        return FatalError(f"Kafka ran out of memory: stop something else and start again; its log is in {log_file}")
    errors = _ERROR.findall(logs)
    reason = errors[-1].strip()[:_MAX_REASON_CHARS] if errors else "no reason given"
    return FatalError(f"Kafka ended with code {code} ({reason}): its log is in {log_file}")
