"""`loop`: the whole live loop in one process, slates, impressions and labels included, as `make demo` plays it through Kafka.

Slates that are pushed without a request, where a scenario says so, are left out.
"""

import time

from rich.console import Console

from eddy.contract.model import Columns
from eddy.contract.scenarios import Scenarios, load_scenarios
from eddy.text import TextModel
from eddy_cli.baselines import Baseline, Covisitation, Popularity
from eddy_cli.replay.app import SLATE_LENGTH
from eddy_cli.replay.options import MAX_SKEW_SEC, WINDOW
from eddy_cli.replay.player import NOT_SERVED
from eddy_cli.replay.quality import ReplayEvaluator
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.loop import EvaluationLoop, EvaluationLoopPolicy
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.play import play
from eddy_lab.evaluate.progress import bar
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import LearnerPolicy


def run(options: Options, console: Console) -> BenchmarkResult:
    """All of the data set, or the first `limit` events of it."""
    stream = whole_stream(options).cut(options.limit)
    exporter = GraphExporter.cached(options.graphs, options.model, Columns())
    learning, scenarios = LearnerPolicy(options.seed, options.model), load_scenarios(options.scenarios)
    return run_loop(stream, exporter, learning, scenarios, console, TextModel.load(options.text_model))


def run_loop(
    stream: Stream,
    exporter: GraphExporter,
    learning: LearnerPolicy,
    scenarios: Scenarios,
    console: Console,
    texts: TextModel | None = None,
) -> BenchmarkResult:
    """Play `stream` and score it against the counting baselines."""
    policy = EvaluationLoopPolicy(lateness_sec=MAX_SKEW_SEC, learning=learning)
    loop = EvaluationLoop(scenarios, exporter, policy, texts)
    baselines: dict[str, Baseline] = {
        "popularity": Popularity(len(stream.item_ids)),
        "covisitation": Covisitation(len(stream.item_ids)),
    }
    places = [NOT_SERVED] * len(stream)
    evaluator = ReplayEvaluator(stream, places, baselines)
    records = ReplayRecords("run", stream.event_kind, SLATE_LENGTH, 0)
    started = time.monotonic()
    with bar(console, "loop", len(stream)) as show:
        play(stream, loop, records, evaluator, places, WINDOW, round(MAX_SKEW_SEC * 1000), show)
    return BenchmarkResult(
        protocol="loop",
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=learning.seed,
        methods={name: score.as_dict() for name, score in evaluator.scores.items()},
        also={"ledger": loop.ledger(), **loop.releases.as_dict()},
    )
