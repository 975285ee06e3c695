"""All checks, in order."""

from collections.abc import Iterator

from eddy.errors import EddyError
from eddy.settings import Settings, load
from eddy_cli.doctor import kafka, machine
from eddy_cli.doctor.finding import Finding, ok, wrong
from eddy_cli.replay.settings import ReplaySettings
from eddy_cli.services import SERVICES


def examine() -> Iterator[Finding]:
    """Run all checks; yields each finding at once."""
    yield machine.python()
    yield machine.packages()
    settings = _settings()
    yield settings
    if settings.remedy:
        return
    loaded = load(Settings)
    yield machine.scenarios(loaded)
    yield from kafka.examine(loaded)
    yield from machine.disk(loaded)
    yield from machine.optional()


def _settings() -> Finding:
    all_settings: list[type[Settings]] = [*SERVICES.values(), ReplaySettings]
    try:
        for settings in all_settings:
            load(settings)
    except EddyError as error:
        return wrong("settings", str(error), "docs/settings.md lists all settings")
    return ok("settings", "every EDDY_* variable is valid")
