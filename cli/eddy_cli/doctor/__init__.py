"""`eddy doctor`: checks this machine and the configured Kafka, one line per finding."""

from eddy_cli.doctor.examine import examine
from eddy_cli.doctor.finding import Finding

__all__ = ["Finding", "examine"]
