"""`loop`: the whole live loop in one process, with slates, impressions and labels, as `make demo` plays it through Kafka.

Pushed slates are left out.
"""

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
    """Play the whole data set, or its first `limit` events."""
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
    """Play `stream` and score it against counting baselines."""
    policy = EvaluationLoopPolicy(lateness_sec=MAX_SKEW_SEC, learning=learning)
    loop = EvaluationLoop(scenarios, exporter, policy, texts)
    baselines: dict[str, Baseline] = {
        "popularity": Popularity(len(stream.item_ids)),
        "covisitation": Covisitation(len(stream.item_ids)),
    }
    positions = [NOT_SERVED] * len(stream)
    evaluator = ReplayEvaluator(stream, positions, baselines)
    records = ReplayRecords("run", stream.event_kind, SLATE_LENGTH, 0)
    with bar(console, "loop", len(stream)) as show:
        play(stream, loop, records, evaluator, positions, WINDOW, round(MAX_SKEW_SEC * 1000), show)
    return BenchmarkResult(
        dataset=stream.dataset,
        events=len(stream),
        methods={name: score.as_dict() for name, score in evaluator.scores.items()},
        details={"ledger": loop.ledger(), **loop.releases.as_dict()},
    )
