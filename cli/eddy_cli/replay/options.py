"""What a replay is asked to do."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from eddy_cli.datasets import SOURCES
from eddy_cli.replay.role import MOVIELENS

WINDOW = 8192
# Whoever runs a joiner for a replay sets its lateness to this: an impression may be that far behind its partition's newest event.
MAX_SKEW_SEC = 604_800.0


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """The command line, checked. `speed` is in event time per real time, `rate` in events per second; None is as fast as the loop goes."""

    dataset: str
    data: Path | None
    scenario: str
    action: str
    limit: int | None
    users: int | None
    speed: float | None
    rate: float | None
    window: int
    max_skew_sec: float
    deadline_sec: float
    ready_within_sec: float
    output: Path


def parse(arguments: Sequence[str] | None = None) -> ReplayOptions:
    """Read the command line; argparse exits with a line of help for what does not hold."""
    parser = argparse.ArgumentParser(prog="python -m eddy_cli.replay", description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--users", type=_count, help="play the first USERS users to appear")
    parser.add_argument("--speed", type=_amount, help="times real time; as fast as the loop goes when left out")
    parser.add_argument("--rate", type=_amount, metavar="EVENTS", help="per second, at most: latency below saturation")
    parser.add_argument("--window", type=_count, default=WINDOW, help="events from the oldest unfinished one on")
    parser.add_argument(
        "--max-skew",
        type=_amount,
        default=MAX_SKEW_SEC,
        metavar="SECONDS",
        help="event time that one user may be ahead of another",
    )
    parser.add_argument("--deadline", type=_amount, default=5.0, metavar="SECONDS", help="for a list to come")
    parser.add_argument(
        "--ready-within", type=_amount, default=120.0, metavar="SECONDS", help="for the services to be ready"
    )
    parser.add_argument("--output", type=Path, default=Path("reports/demo"), help="where .json and .png go")
    given = parser.parse_args(arguments)
    return ReplayOptions(
        dataset=given.dataset,
        data=given.data,
        scenario=given.scenario,
        action=given.action,
        limit=given.limit,
        users=given.users,
        speed=given.speed,
        rate=given.rate,
        window=given.window,
        max_skew_sec=given.max_skew,
        deadline_sec=given.deadline,
        ready_within_sec=given.ready_within,
        output=given.output,
    )


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    """--dataset, --data, --scenario, --action and --limit: which events are played, and as what."""
    parser.add_argument("--dataset", choices=tuple(SOURCES), default="ml-100k")
    parser.add_argument(
        "--data", type=Path, help="folder or file instead of a fetched one: docs/bring-your-own-data.md"
    )
    parser.add_argument(
        "--scenario", default=MOVIELENS.scenario, help="where they are played: an entry of scenarios.yaml"
    )
    parser.add_argument("--action", default=MOVIELENS.action, help="what they are played as: an action of the scenario")
    parser.add_argument("--limit", type=_count, help="play the first LIMIT events")


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not at least 1")
    return number


def _amount(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number
