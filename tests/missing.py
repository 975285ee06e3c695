"""Optional tools that tests use and this machine lacks."""

import shutil

from eddy_cli.doctor.machine import BROWSERS


def what_is_missing() -> list[str]:
    """One line per missing tool, with its installation."""
    lines = []
    if not any(map(shutil.which, BROWSERS)):
        lines.append("no Chromium: the tests of the console are skipped (apt-get install chromium)")
    if not shutil.which("promtool") and not shutil.which("apt-get"):
        lines.append("no promtool and no apt-get to fetch it: the tests of boards and alerts fail (install prometheus)")
    return lines
