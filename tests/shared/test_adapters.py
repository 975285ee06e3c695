"""import-linter refuses a service that uses an untyped client library without its adapter."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from eddy.paths import REPO_ROOT

LINT = [
    str(Path(sys.executable).with_name("lint-imports")),
    "--no-cache",
    "--config",
    str(REPO_ROOT / "pyproject.toml"),
    "--contract",
    "adapters",
]


@pytest.mark.parametrize("module", ["aiokafka", "faust"])
def test_a_service_that_imports_a_client_library_itself_is_refused(tmp_path: Path, module: str) -> None:
    shutil.copytree(REPO_ROOT / "services" / "gateway" / "eddy_gateway", tmp_path / "eddy_gateway")
    (tmp_path / "eddy_gateway" / "shell" / "shortcut.py").write_text(f"import {module}\n")
    linted = subprocess.run(
        LINT, cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 1, linted.stdout + linted.stderr
    assert f"eddy_gateway.shell.shortcut -> {module}" in linted.stdout
