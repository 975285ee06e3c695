"""`ctr_models`: every kind of live model on the question and the split of `ctr`: whether a rating will be at least 4.

Each learns from the first 80 % in time, as the loop does, once and in order; then its weights stand still, what is known of users and items
moves on, and the last 10 % are asked. No lists are made, so that nothing sets `linear` and `logistic` apart, which weigh lists differently.
"""

import time
from functools import partial

import numpy as np
from rich.console import Console

from lab.datasets import load
from lab.evaluate.labels import auc, intervals, log_losses
from lab.evaluate.options import Options
from lab.evaluate.outcome import Outcome
from lab.evaluate.prequential import Prequential, PrequentialPolicy
from lab.evaluate.progress import bar, further
from lab.evaluate.protocols.ctr import ANCHORS, split_by_time
from lab.evaluate.taste.state import LIKED
from lab.replay.app import SCENARIO
from lab.replay.command import stream_of
from services.trainer.learner import LearnerPolicy
from services.trainer.models import MODELS
from shared.scenarios import load_scenarios

MICRO_BATCH = 2048  # histories are as of each event all the same


def run(options: Options, console: Console) -> Outcome:
    """All of the data set, or the first `limit` events of it, once for each kind; costs are microseconds of processor time an event."""
    stream = stream_of(load(options.dataset, options.data)).cut(options.limit)
    started = time.monotonic()
    train, _, asked = split_by_time(len(stream))
    labels, users = np.array(stream.values)[asked] >= LIKED, np.array(stream.users, np.int32)[asked]
    methods, bounds = {}, {}
    with bar(console, "ctr_models", len(MODELS) * len(stream)) as show:
        for number, (name, kind) in enumerate(MODELS.items()):
            policy = PrequentialPolicy(
                micro_batch=MICRO_BATCH,
                learning=LearnerPolicy(options.seed, name),
                liked_from=LIKED,
                ranked=False,
                learned_until=len(train),
            )
            played = Prequential(
                stream, SCENARIO, load_scenarios(options.scenarios), policy, options.graphs, options.text_model
            )
            played.play(partial(further, show, number * len(stream)))
            logits = _logits(played.chances[asked])
            methods[name] = {
                "auc": auc(logits, labels),
                "log_loss": float(log_losses(logits, labels).mean()),
                "parameters": sum(one.numel() for part in (kind.encoder(), kind.ranker()) for one in part.parameters()),
                "train us": round(1e6 * played.train_sec / len(train)),
                "serve us": round(1e6 * played.shown_sec / len(stream)),
            }
            console.print(f"{name}: AUC {methods[name]['auc']:.4f}", highlight=False)
            bounds[name] = intervals(logits, labels, users, options.seed)
    return Outcome(
        protocol="ctr_models",
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods=methods,
        anchors=ANCHORS.get(stream.dataset, {}),
        also={"95 % by users": bounds},
    )


def _logits(chances: np.ndarray[tuple[int], np.dtype[np.float32]]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    bounded = np.clip(chances.astype(np.float64), 1e-6, 1 - 1e-6)
    return np.log(bounded / (1 - bounded))
