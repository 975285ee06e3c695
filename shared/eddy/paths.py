"""Where files are: those that the package carries, and those that runs leave behind."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
# Links into the repository in a checkout, copies in a wheel.
SCHEMAS = _PACKAGE / "schemas"
SCENARIOS = _PACKAGE / "scenarios.yaml"

_CHECKOUT = _PACKAGE.parent.parent
IS_CHECKOUT = (_CHECKOUT / "docker-compose.yml").exists()
# Reports, local state and caches go below it: the checkout, or the current folder where Eddy was installed from wheels.
REPO_ROOT = _CHECKOUT if IS_CHECKOUT else Path.cwd()
