"""`stream`: prequential next item. For every event whose user has a history rank the unseen items, then learn it.

Progressive validation (Gama, Sebastiao and Rodrigues 2013) in micro-batches of 256: histories are as of each event, counts and weights as
before its batch, a tie counts against the model. The baselines learn after every event, and a tie counts for them. The model that answers
is the newest release that passed the gate; `held` says how many did not, and why.
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
    """All of the data set, or the first `limit` events of it."""
    stream = whole_stream(options).cut(options.limit)
    return prequential("stream", stream, stream.scored(), options, console)


def prequential(
    protocol: str,
    stream: Stream,
    counted: NDArray[np.bool_],
    options: Options,
    console: Console,
    anchors: Mapping[str, Figures] | None = None,
) -> BenchmarkResult:
    """Play `stream` through the model, and through the baselines in a process of their own; the events that are `counted` decide."""
    if not counted.any():
        raise ConfigError(
            f"{stream.dataset} has no event to judge: one that is not its user's first, on an item new to the user"
        )
    started = time.monotonic()
    with baseline_process(stream, options.seed) as others:
        scenarios = load_scenarios(options.scenarios)
        next_items = NextItemTask(stream, scenarios)
        policy = PrequentialPolicy(learning=LearnerPolicy(options.seed, options.model))
        played = Prequential(stream, scenarios, policy, [next_items], options.graphs, options.text_model)
        with bar(console, protocol, len(stream)) as show:

            def progress(done: int) -> None:
                show(done)
                if others.done():
                    others.result()  # a failure is not to wait for the end

            played.play(progress)
        alone = time.monotonic() - started
        ranks = {MODEL: next_items.ranks, **others.result()}
    methods = {name: ranking_figures(each, counted) for name, each in ranks.items()}
    best = max((name for name in methods if name != MODEL), key=lambda name: methods[name]["ndcg_at_10"])
    gains = {name: gains_at_10(ranks[name])[counted] for name in (MODEL, best)}
    return BenchmarkResult(
        protocol=protocol,
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods=methods,
        anchors=anchors or {},
        also={
            "best_baseline": best,
            "ratio": round(methods[MODEL]["ndcg_at_10"] / max(methods[best]["ndcg_at_10"], 1e-12), 4),
            "ratio_interval": [round(one, 4) for one in ratio_interval(gains[MODEL], gains[best])],
            "model_events_per_second": round(len(stream) / alone, 1),
            **played.releases.as_dict(),
        },
    )
