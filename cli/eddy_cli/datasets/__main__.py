"""`make data`: fetch MovieLens-100K and MovieLens-1M."""

import argparse

from eddy_cli.console import run_command
from eddy_cli.datasets.fetch import fetch
from eddy_cli.datasets.sources import SOURCES


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eddy_cli.datasets", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which of {', '.join(SOURCES)}; all when left out")
    names = parser.parse_args().names or list(SOURCES)
    if unknown := set(names) - set(SOURCES):
        parser.error(f"there is no data set {min(unknown)}")
    for name in names:
        fetch(SOURCES[name])
        print(f"{name}: {SOURCES[name].rows:,} events in {SOURCES[name].path}", flush=True)


if __name__ == "__main__":
    run_command("data", main)
