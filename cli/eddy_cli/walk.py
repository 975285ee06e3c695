"""`python -m eddy_cli.stack -- python -m eddy_cli.walk`:

execute docs/one-event.ipynb on the running stack, and keep what its cells print."""

import argparse
import asyncio
import os
from pathlib import Path

import nbclient
import nbformat

from eddy.errors import FatalError
from eddy.paths import REPO_ROOT
from eddy_cli.console import run_command
from eddy_cli.replay.services import wait_until_ready

NOTEBOOK = REPO_ROOT / "docs" / "one-event.ipynb"
READY_WITHIN_SEC = 90


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eddy_cli.walk", description=__doc__)
    parser.add_argument("--output", type=Path, default=NOTEBOOK, help="where the executed notebook goes")
    options = parser.parse_args()
    said = os.environ.get("EDDY_LAB_READY_URLS", "")
    asyncio.run(wait_until_ready(said, READY_WITHIN_SEC))
    urls = dict(one.split("=", 1) for one in said.split(",") if one)
    os.environ.setdefault("EDDY_WALK_GATEWAY", urls.get("gateway", "http://127.0.0.1:8000"))
    notebook = nbformat.read(NOTEBOOK, nbformat.NO_CONVERT)
    try:
        nbclient.NotebookClient(
            notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": REPO_ROOT}}
        ).execute()
    except nbclient.exceptions.CellExecutionError as error:
        raise FatalError(f"a cell of {NOTEBOOK.name} failed: {error.ename}: {error.evalue}") from error
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # when it ran is nobody's business
    nbformat.write(notebook, options.output)
    print(f"written: {options.output}")


if __name__ == "__main__":
    run_command("walk", main)
