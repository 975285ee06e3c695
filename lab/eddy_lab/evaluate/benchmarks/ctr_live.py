"""`ctr_live`: the task and the split of `ctr` by the served model.

The model learns the first 80 % once and in order, as the live loop does. Then its weights stay fixed while state of users and items is
updated, and it predicts the last 10 %. No slate is ranked, so `linear` and `logistic`, which differ in how they learn from slates, give the
same figures.
"""

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from eddy.contract.scenarios import load_scenarios
from eddy_lab.evaluate.benchmarks.ctr import PUBLISHED, split_by_time
from eddy_lab.evaluate.labels import LIKED, binary_figures, intervals, liked_events
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.progress import bar
from eddy_lab.evaluate.result import MODEL, BenchmarkResult
from eddy_lab.evaluate.tasks.next_item import UnrankedTask
from eddy_lab.evaluate.tasks.prediction_task import PredictionTask
from eddy_lab.evaluate.tasks.rating import RatingTask
from eddy_lab.evaluate.variants import microseconds_per_event, parameters_of
from eddy_trainer.core.learner import LearnerPolicy

MICRO_BATCH = 2048  # histories are exact at each event whatever the size
MIN_PROBABILITY = 1e-6


def run(options: Options, console: Console) -> BenchmarkResult:
    """Run on the whole data set, or on its first `limit` events. Costs are microseconds of CPU time per event."""
    stream = whole_stream(options).cut(options.limit)
    train, _, test = split_by_time(len(stream))
    test = test[stream.rated()[test]]
    labels = liked_events(stream)[test]
    policy = PrequentialPolicy(
        micro_batch=MICRO_BATCH,
        learning=LearnerPolicy(options.seed, options.model),
        learned_until=len(train),
    )
    scenarios = load_scenarios(options.scenarios)
    rating = RatingTask(stream, scenarios, LIKED)
    tasks: list[PredictionTask] = [UnrankedTask(stream, scenarios), rating]
    prequential = Prequential(stream, scenarios, policy, tasks, options.graphs, options.text_model)
    with bar(console, "ctr_live", len(stream)) as show:
        prequential.play(show)
    logits = _logits(rating.predictions[test])
    return BenchmarkResult(
        dataset=stream.dataset,
        events=len(stream),
        methods={
            MODEL: {
                **binary_figures(logits, labels),
                "parameters": parameters_of(options.model),
                "train us": microseconds_per_event(prequential.train_sec, len(train)),
                "serve us": microseconds_per_event(rating.seconds, len(stream)),
            }
        },
        published=PUBLISHED.get(stream.dataset, {}),
        details={
            "kind": options.model,
            **prequential.releases.as_dict(),
            "95 % by users": intervals(logits, labels, np.array(stream.users, np.int32)[test], options.seed),
        },
    )


def _logits(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    bounded = np.clip(probabilities.astype(np.float64), MIN_PROBABILITY, 1 - MIN_PROBABILITY)
    return np.log(bounded / (1 - bounded))
