"""Paths of packaged files and of files that commands write.

In a checkout all files are below it, in folders that git ignores. Installed from wheels, Eddy uses the user's folders of the platform
 (on Linux ~/.local/state/eddy, ~/.cache/eddy, ~/.local/share/eddy; XDG_*_HOME moves them).
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

# Local state. Safe to delete.
STATE = REPO_ROOT / ".state" if IS_CHECKOUT else platformdirs.user_state_path("eddy")
# Folders of single runs, deleted at their end.
RUNS = REPO_ROOT / ".cache" / "runs" if IS_CHECKOUT else platformdirs.user_cache_path("eddy") / "runs"
# Downloaded data sets.
DATA = REPO_ROOT / ".data" if IS_CHECKOUT else platformdirs.user_data_path("eddy")
# Downloads, shared by all checkouts and installations.
DOWNLOADS = platformdirs.user_cache_path("eddy")


def checkout() -> Path:
    """The root of the repository. Raises ConfigError where Eddy was installed from wheels."""
    if not IS_CHECKOUT:
        raise ConfigError("this command needs Eddy's repository: run it in a checkout, after `make install`")
    return REPO_ROOT
