"""`make demo` runs this once the stack is up: `python -m eddy_cli.replay --help`."""

from eddy_cli.console import run_command
from eddy_cli.replay.command import main

if __name__ == "__main__":
    run_command("replay", main)
