"""`ctr_live`: the live model on the question and the split of `ctr`: whether a rating will be at least 4.

It learns from the first 80 % in time, as the loop does, once and in order; then its weights stand still, what is known of users and items
moves on, and the last 10 % are asked. Nothing is ranked, so that `linear` and `logistic`, which weigh lists differently, are the same here.
"""

import time

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from eddy.contract.scenarios import load_scenarios
from eddy_lab.evaluate.benchmarks.ctr import ANCHORS, split_by_time
from eddy_lab.evaluate.labels import LIKED, auc, intervals, liked, log_losses
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.progress import bar
from eddy_lab.evaluate.result import MODEL, BenchmarkResult
from eddy_lab.evaluate.tasks.next_item import UnrankedTask
from eddy_lab.evaluate.tasks.prediction_task import PredictionTask
from eddy_lab.evaluate.tasks.rating import RatingTask
from eddy_lab.evaluate.variants import parameters_of
from eddy_trainer.core.learner import LearnerPolicy

MICRO_BATCH = 2048  # histories are as of each event all the same
LEAST_PROBABILITY = 1e-6


def run(options: Options, console: Console) -> BenchmarkResult:
    """All of the data set, or the first `limit` events of it; costs are microseconds of processor time an event."""
    stream = whole_stream(options).cut(options.limit)
    started = time.monotonic()
    train, _, asked = split_by_time(len(stream))
    asked = asked[stream.rated()[asked]]
    labels = liked(stream)[asked]
    policy = PrequentialPolicy(
        micro_batch=MICRO_BATCH,
        learning=LearnerPolicy(options.seed, options.model),
        learned_until=len(train),
    )
    scenarios = load_scenarios(options.scenarios)
    liking = RatingTask(stream, scenarios, LIKED)
    questions: list[PredictionTask] = [UnrankedTask(stream, scenarios), liking]
    played = Prequential(stream, scenarios, policy, questions, options.graphs, options.text_model)
    with bar(console, "ctr_live", len(stream)) as show:
        played.play(show)
    logits = _logits(liking.predictions[asked])
    return BenchmarkResult(
        protocol="ctr_live",
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods={
            MODEL: {
                "auc": auc(logits, labels),
                "log_loss": float(log_losses(logits, labels).mean()),
                "parameters": parameters_of(options.model),
                "train us": round(1e6 * played.train_sec / len(train)),
                "serve us": round(1e6 * liking.seconds / len(stream)),
            }
        },
        anchors=ANCHORS.get(stream.dataset, {}),
        also={
            "kind": options.model,
            **played.releases.as_dict(),
            "95 % by users": intervals(logits, labels, np.array(stream.users, np.int32)[asked], options.seed),
        },
    )


def _logits(probabilities: NDArray[np.float32]) -> NDArray[np.float64]:
    bounded = np.clip(probabilities.astype(np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.log(bounded / (1 - bounded))
