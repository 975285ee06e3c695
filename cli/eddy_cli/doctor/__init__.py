"""`eddy doctor`: what this machine and the configured Kafka need before Eddy runs well, one line each."""

from eddy_cli.doctor.examine import examine
from eddy_cli.doctor.finding import Finding

__all__ = ["Finding", "examine"]
