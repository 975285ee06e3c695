"""`models`: every kind of model on the same stream: quality, parameters, and what it costs to train and to serve.

As `stream`, and beside it every rating is a shown item that was clicked where it is at least 4: predicted by the ranker's head, then
learned. `auc` is of these predictions over the second half of the stream. Costs are processor time.
"""

import time
from collections.abc import Callable
from functools import partial

import numpy as np
from rich.console import Console

from lab.datasets import load
from lab.evaluate.labels import auc
from lab.evaluate.options import Options
from lab.evaluate.outcome import Outcome
from lab.evaluate.prequential import Prequential, PrequentialPolicy
from lab.evaluate.progress import bar
from lab.evaluate.ranking import known_users, ranking_figures
from lab.evaluate.taste.state import LIKED
from lab.replay.app import SCENARIO
from lab.replay.command import stream_of
from services.trainer.graphs import GraphExporter
from services.trainer.learner import LearnerPolicy
from services.trainer.models import MODELS
from shared.scenarios import load_scenarios
from shared.text import TextModel


def run(options: Options, console: Console) -> Outcome:
    """All of the data set, or the first `limit` events of it, once for each model."""
    stream = stream_of(load(options.dataset, options.data)).cut(options.limit)
    scenarios, texts = load_scenarios(options.scenarios), TextModel.load(options.text_model)
    counted = known_users(np.array(stream.users))
    labels = np.array(stream.values) >= LIKED
    later = np.arange(len(stream)) >= len(stream) // 2
    started = time.monotonic()
    methods = {}
    with bar(console, "models", len(MODELS) * len(stream)) as show:
        for number, name in enumerate(MODELS):
            policy = PrequentialPolicy(learning=LearnerPolicy(options.seed, name), liked_from=LIKED)
            exporter = GraphExporter.cached(options.graphs, name)
            played = Prequential(stream, SCENARIO, scenarios, exporter, policy, texts)
            places = played.play(partial(_further, show, number * len(stream)))
            figures = ranking_figures(places, counted)
            learner = played.learner
            shared = [*learner.encoder.encoder.parameters(), *learner.ranker.ranker.parameters()]
            methods[name] = {
                **{metric: figures[metric] for metric in ("ndcg_at_10", "hr_at_10")},
                "auc": auc(played.chances[later], labels[later]),
                "parameters": sum(one.numel() for one in shared),
                "train us": round(1e6 * played.seconds["learn"] / len(stream)),
                "serve us": round(1e6 * played.seconds["rank"] / len(stream)),
                "ndcg_at_10_by_tenth": figures["ndcg_at_10_by_tenth"],
            }
    return Outcome(
        protocol="models",
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods=methods,
    )


def _further(show: Callable[[int], None], before: int, done: int) -> None:
    show(before + done)
