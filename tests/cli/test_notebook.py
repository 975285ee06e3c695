"""The notebook about one event runs on the real stack."""

import json
from pathlib import Path

import pytest

from tests.cli.processes import command

pytestmark = pytest.mark.stack


def test_notebook_is_executed(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    output = tmp_path / "walked.ipynb"
    arguments = ["-m", "eddy_cli", "exec", "--", "eddy", "docs", "notebook", "--output", str(output)]
    with command(arguments, {"EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka, "EDDY_TOPIC_PREFIX": topic_prefix}) as walk:
        assert walk.finish(timeout_sec=200) == 0, walk.output
    cells = json.loads(output.read_text())["cells"]
    assert all(cell["outputs"] for cell in cells if cell["cell_type"] == "code")
