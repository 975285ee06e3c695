"""`make evaluate`: what the live loop learns from a data set, measured in one process without Kafka."""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from lab.baselines import Baseline, Covisitation, Popularity
from lab.datasets import load
from lab.evaluate.loop import Loop, LoopPolicy
from lab.evaluate.played import play
from lab.replay.app import LIST_LENGTH, SCENARIO
from lab.replay.command import stream_of
from lab.replay.options import MAX_SKEW_SEC, WINDOW, add_data_arguments
from lab.replay.player import NOT_SERVED
from lab.replay.progress import Standing, progress_view
from lab.replay.quality import Judge
from lab.replay.records import Records
from lab.replay.stream import Stream
from lab.report import quality_table, write_plot
from services.trainer.graphs import GraphExporter
from services.trainer.settings import TrainerSettings
from shared.errors import EddyError
from shared.scenarios import load_scenarios
from shared.settings import load as load_settings


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Figures of one evaluation. `quality` has an entry for the model and each baseline: `Score.as_dict`."""

    dataset: str
    events: int
    seconds: float
    seed: int
    quality: Mapping[str, Mapping[str, Any]]
    books: Mapping[str, int]

    def as_dict(self, command: str) -> dict[str, Any]:
        """The layout of reports/loop-<data set>.json; all but `seconds` follows from data set, seed and code."""
        return {
            "protocol": "loop",
            "dataset": self.dataset,
            "events": self.events,
            "seconds": round(self.seconds, 1),
            "command": command,
            "seed": self.seed,
            "methods": {name: dict(scores) for name, scores in self.quality.items()},
            "books": dict(self.books),
        }


def main() -> None:
    """Run `python -m lab.evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m lab.evaluate", description=__doc__)
    add_data_arguments(parser)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("reports"), help="folder of the .json and the .png")
    given = parser.parse_args()
    console = Console()
    try:
        settings = load_settings(TrainerSettings)
        torch.set_num_threads(settings.trainer_threads)
        stream = stream_of(load(given.dataset, given.data)).cut(given.limit)
        exporter = GraphExporter.cached(settings.trainer_graphs_dir)
        found = evaluate(stream, exporter, given.seed, settings.scenarios_path, console)
    except EddyError as error:
        sys.exit(f"evaluate: {error}")
    given.output.mkdir(parents=True, exist_ok=True)
    report = given.output / f"loop-{given.dataset}.json"
    report.write_text(json.dumps(found.as_dict(shlex.join(["python", "-m", "lab.evaluate", *sys.argv[1:]])), indent=2))
    write_plot(found, report.with_suffix(".png"))
    console.print(quality_table(found))
    console.print(f"{found.events:,} events in {found.seconds:.0f} s; {_line(found.books)}", highlight=False)
    console.print(f"figures in {report}, plot in {report.with_suffix('.png')}", highlight=False)


def evaluate(stream: Stream, exporter: GraphExporter, seed: int, scenarios: Path, console: Console) -> Evaluation:
    """Play `stream` and judge it beside the counting baselines."""
    policy = LoopPolicy(lateness_sec=MAX_SKEW_SEC, seed=seed)
    loop = Loop(load_scenarios(scenarios), exporter, policy)
    baselines: dict[str, Baseline] = {
        "popularity": Popularity(len(stream.item_ids)),
        "covisitation": Covisitation(len(stream.item_ids)),
    }
    places = [NOT_SERVED] * len(stream)
    judge = Judge(stream, places, baselines)
    started = time.monotonic()
    with progress_view(console, len(stream), started) as view:

        def show(played: int) -> None:
            standing = Standing(played, judge.scores["model"].hit_rate, loop.releases, 0, 0)
            view.show(standing, time.monotonic())

        play(
            stream,
            loop,
            Records("run", SCENARIO, LIST_LENGTH, deadline_ms=0),
            judge,
            places,
            WINDOW,
            round(MAX_SKEW_SEC * 1000),
            show,
        )
    return Evaluation(
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=seed,
        quality={name: score.as_dict() for name, score in judge.scores.items()},
        books={**loop.books, "open": loop.open_items, "releases": loop.releases},
    )


def _line(books: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in books.items())


if __name__ == "__main__":
    main()
