"""Where files are: those that the package carries, and those that runs leave behind.

In a checkout everything stays below it, in folders that git ignores. Installed from wheels, Eddy uses the user's own folders as the
platform names them (on Linux ~/.local/state/eddy, ~/.cache/eddy, ~/.local/share/eddy; XDG_*_HOME moves them).
"""

from pathlib import Path

import platformdirs

from eddy.errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent
# Links into the repository in a checkout, copies in a wheel.
SCHEMAS = _PACKAGE / "schemas"
SCENARIOS = _PACKAGE / "scenarios.yaml"

REPO_ROOT = _PACKAGE.parent.parent
IS_CHECKOUT = (REPO_ROOT / "docker-compose.yml").exists()

# Local state, always safe to lose.
STATE = REPO_ROOT / ".state" if IS_CHECKOUT else platformdirs.user_state_path("eddy")
# Folders of single runs, gone when they end.
RUNS = REPO_ROOT / ".cache" / "runs" if IS_CHECKOUT else platformdirs.user_cache_path("eddy") / "runs"
# Data sets that were fetched.
DATA = REPO_ROOT / ".data" if IS_CHECKOUT else platformdirs.user_data_path("eddy")
# Downloads that all checkouts and installations share.
DOWNLOADS = platformdirs.user_cache_path("eddy")


def checkout() -> Path:
    """The root of the repository. Raises ConfigError where Eddy was installed from wheels."""
    if not IS_CHECKOUT:
        raise ConfigError("this command needs Eddy's repository: run it in a checkout, after `make install`")
    return REPO_ROOT
