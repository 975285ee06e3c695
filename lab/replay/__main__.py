"""`make demo` runs this once the stack is up: `python -m lab.replay --help`."""

from lab.console import run_command
from lab.replay.command import main

if __name__ == "__main__":
    run_command("replay", main)
