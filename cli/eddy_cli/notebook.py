"""Executes docs/one-event.ipynb on the running stack and keeps what its cells print."""

import asyncio
import os
from pathlib import Path

import nbclient
import nbformat

from eddy.errors import FatalError
from eddy.paths import checkout
from eddy_cli.replay.services import wait_until_ready

READY_WITHIN_SEC = 90


def execute_notebook(output: Path | None = None) -> Path:
    """Execute it and write it to `output`, or back to its own place. Raises FatalError when a service or a cell fails."""
    source = checkout() / "docs" / "one-event.ipynb"
    said = os.environ.get("EDDY_LAB_READY_URLS", "")
    asyncio.run(wait_until_ready(said, READY_WITHIN_SEC))
    urls = dict(one.split("=", 1) for one in said.split(",") if one)
    os.environ.setdefault("EDDY_WALK_GATEWAY", urls.get("gateway", "http://127.0.0.1:8000"))
    notebook = nbformat.read(source, nbformat.NO_CONVERT)
    try:
        nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": checkout()}}
        ).execute()
    except nbclient.exceptions.CellExecutionError as error:
        raise FatalError(f"a cell of {source.name} failed: {error.ename}: {error.evalue}") from error
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran is nobody's business
    nbformat.write(notebook, output or source)
    return output or source
