"""Executes docs/one-event.ipynb on the running stack and saves its output."""

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
    """Execute the notebook and write it to `output`, by default in place. Raises FatalError if a service or a cell fails."""
    source = checkout() / "docs" / "one-event.ipynb"
    ready_urls = os.environ.get("EDDY_REPLAY_READY_URLS", "")
    asyncio.run(wait_until_ready(ready_urls, READY_WITHIN_SEC))
    urls = dict(entry.split("=", 1) for entry in ready_urls.split(",") if entry)
    os.environ.setdefault("EDDY_NOTEBOOK_GATEWAY", urls.get("gateway", "http://127.0.0.1:8000"))
    notebook = nbformat.read(source, nbformat.NO_CONVERT)
    try:
        nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": checkout()}}
        ).execute()
    except nbclient.exceptions.CellExecutionError as error:
        raise FatalError(f"a cell of {source.name} failed: {error.ename}: {error.evalue}") from error
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times would change with every execution
    nbformat.write(notebook, output or source)
    return output or source
