"""`loop`: the whole live loop in one process, lists, impressions and labels included, as `make demo` plays it through Kafka.

But for lists that are pushed without a request, where a scenario says so.
"""

import time

from rich.console import Console

from lab.baselines import Baseline, Covisitation, Popularity
from lab.evaluate.loop import Loop, LoopPolicy
from lab.evaluate.options import Options, whole_stream
from lab.evaluate.outcome import Outcome
from lab.evaluate.played import play
from lab.evaluate.progress import bar
from lab.replay.app import LIST_LENGTH
from lab.replay.options import MAX_SKEW_SEC, WINDOW
from lab.replay.player import NOT_SERVED
from lab.replay.quality import Judge
from lab.replay.records import Records
from lab.replay.stream import Stream
from services.trainer.graphs import GraphExporter
from services.trainer.learner import LearnerPolicy
from shared.scenarios import Scenarios, load_scenarios
from shared.text import TextModel


def run(options: Options, console: Console) -> Outcome:
    """All of the data set, or the first `limit` events of it."""
    stream = whole_stream(options).cut(options.limit)
    exporter = GraphExporter.cached(options.graphs, options.model)
    learning, scenarios = LearnerPolicy(options.seed, options.model), load_scenarios(options.scenarios)
    return looped(stream, exporter, learning, scenarios, console, TextModel.load(options.text_model))


def looped(
    stream: Stream,
    exporter: GraphExporter,
    learning: LearnerPolicy,
    scenarios: Scenarios,
    console: Console,
    texts: TextModel | None = None,
) -> Outcome:
    """Play `stream` and judge it beside the counting baselines."""
    policy = LoopPolicy(lateness_sec=MAX_SKEW_SEC, learning=learning)
    loop = Loop(scenarios, exporter, policy, texts)
    baselines: dict[str, Baseline] = {
        "popularity": Popularity(len(stream.item_ids)),
        "covisitation": Covisitation(len(stream.item_ids)),
    }
    places = [NOT_SERVED] * len(stream)
    judge = Judge(stream, places, baselines)
    records = Records("run", stream.role, LIST_LENGTH, 0)
    started = time.monotonic()
    with bar(console, "loop", len(stream)) as show:
        play(stream, loop, records, judge, places, WINDOW, round(MAX_SKEW_SEC * 1000), show)
    return Outcome(
        protocol="loop",
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=learning.seed,
        methods={name: score.as_dict() for name, score in judge.scores.items()},
        also={"books": {**loop.books, "open": loop.open_items, "releases": loop.releases}},
    )
