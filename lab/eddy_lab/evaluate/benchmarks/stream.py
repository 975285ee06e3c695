"""`stream`: the next item, prequentially. For every event of a user with a history, rank the items new to the user, then learn the event.

Progressive validation (Gama, Sebastiao and Rodrigues 2013) in micro-batches of 256: histories are exact at each event, counts and weights
are those before its batch, and ties count against the model. The baselines learn after every event, and ties count for them. The model
that predicts is the newest release that passed the gate; `held` counts the others by reason.
"""

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from eddy.contract.scenarios import load_scenarios
from eddy.errors import ConfigError
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.baseline_process import baseline_process
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.progress import bar
from eddy_lab.evaluate.ranking import gains_at_10, ranking_figures, ratio_interval
from eddy_lab.evaluate.result import MODEL, BenchmarkResult, Figures
from eddy_lab.evaluate.tasks.next_item import NextItemTask
from eddy_trainer.core.learner import LearnerPolicy


def run(options: Options, console: Console) -> BenchmarkResult:
    """Play the whole data set, or its first `limit` events."""
    stream = whole_stream(options).cut(options.limit)
    return play_stream("stream", stream, stream.scored(), options, console)


def play_stream(
    label: str,
    stream: Stream,
    scored: NDArray[np.bool_],
    options: Options,
    console: Console,
    published: Mapping[str, Figures] | None = None,
) -> BenchmarkResult:
    """Play `stream` through the model and, in another process, through the baselines; figures are over the `scored` [events]."""
    if not scored.any():
        raise ConfigError(
            f"{stream.dataset} has no event to score: each is its user's first, or on an item that its user already had"
        )
    started = time.monotonic()
    with baseline_process(stream, options.seed) as baselines:
        scenarios = load_scenarios(options.scenarios)
        next_item = NextItemTask(stream, scenarios)
        policy = PrequentialPolicy(learning=LearnerPolicy(options.seed, options.model))
        prequential = Prequential(stream, scenarios, policy, [next_item], options.graphs, options.text_model)
        with bar(console, label, len(stream)) as show:

            def progress(done: int) -> None:
                show(done)
                if baselines.done():
                    baselines.result()  # raises the error of a failed baseline at once

            prequential.play(progress)
        model_sec = time.monotonic() - started
        ranks = {MODEL: next_item.ranks, **baselines.result()}
    methods = {name: ranking_figures(each, scored) for name, each in ranks.items()}
    best = max((name for name in methods if name != MODEL), key=lambda name: methods[name]["ndcg_at_10"])
    gains = {name: gains_at_10(ranks[name])[scored] for name in (MODEL, best)}
    low, high = ratio_interval(gains[MODEL], gains[best])
    return BenchmarkResult(
        dataset=stream.dataset,
        events=len(stream),
        methods=methods,
        published=published or {},
        details={
            "best_baseline": best,
            "ratio": round(methods[MODEL]["ndcg_at_10"] / max(methods[best]["ndcg_at_10"], 1e-12), 4),
            "ratio_interval": [round(low, 4), round(high, 4)],
            "model_events_per_second": round(len(stream) / model_sec, 1),
            **prequential.releases.as_dict(),
        },
    )
