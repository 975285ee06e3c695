"""`loo`: leave one out. The last item of each user is to be found, the last but one chooses the epoch, everything before trains.

All items are ranked, those that the user has seen are left out, a tie counts against the model; popularity orders what a counter knows
nothing of. Beside the encoder stands what the product
serves: the encoder's scores and those of item-to-item counts, weighed on the items that also choose the epoch.
"""

import time
from copy import deepcopy
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from eddy.contract.model import ACTIONS, Columns
from eddy.errors import ConfigError
from eddy_cli.datasets import Dataset, load
from eddy_lab.evaluate.offline import OfflinePolicy, Rows, TrainingHistories, encoder_scores, ranks_of, train
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.pair_counts import PairCounts
from eddy_lab.evaluate.progress import bar
from eddy_lab.evaluate.ranking import gains_at_10, ranking_figures
from eddy_lab.evaluate.result import BY_TENTH, MODEL, BenchmarkResult
from eddy_trainer.core.encoder_training import EncoderTrainer
from eddy_trainer.core.migration import Moves

_DENSE = OfflinePolicy(epochs=16, users=64, rate=4e-3, dropout=0.2)
_SPARSE = OfflinePolicy(epochs=24, users=128, rate=2e-3, dropout=0.4, full_softmax_items=0)
JUDGED_EVERY, JUDGED_USERS, PATIENCE = 4, 4000, 12
WEIGHED_ON = 3000
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
UNKNOWN = 1e-6  # of popularity, beside what a counter counted
DENSE_FROM = 50.0  # interactions a user, on average
ANCHORS = {
    "ml-1m": {
        "SASRec+": {"hr_at_10": 0.3159, "ndcg_at_10": 0.1857},
        "HSTU-large (Zhai et al. 2024)": {"hr_at_10": 0.3294, "ndcg_at_10": 0.1893},
    },
    "Beauty": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0647, "ndcg_at_10": 0.0327}},
    "Sports_and_Outdoors": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0385, "ndcg_at_10": 0.0204}},
    "Toys_and_Games": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0700, "ndcg_at_10": 0.0376}},
    "Yelp": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0341, "ndcg_at_10": 0.0168}},
    "LastFM": {"S3-Rec (Zhou et al. 2020)": {"hr_at_10": 0.0743, "ndcg_at_10": 0.0427}},
}
WITHOUT = ("scenario", "action", "text")  # options that say nothing here


def run(options: Options, console: Console) -> BenchmarkResult:
    """The whole data set, or the first `limit` events of it."""
    started = time.monotonic()
    dataset = load(options.dataset, options.data)
    histories = histories_of(dataset, options.limit)
    items, last = len(dataset.item_ids), histories.lengths() - 1
    kept = np.flatnonzero(last >= 2)
    if not len(kept):
        raise ConfigError(
            f"{dataset.name} has no user with three events: one to learn from, one to choose by, one to find"
        )
    policy = _DENSE if len(histories.rows) >= DENSE_FROM * np.count_nonzero(last >= 0) else _SPARSE
    best = _Best(histories, kept, last - 1)
    with bar(console, f"loo {dataset.name}", policy.epochs, "epochs") as show:

        def judge(epoch: int, trainer: EncoderTrainer) -> bool:
            show(epoch + 1)
            if (epoch + 1) % JUDGED_EVERY == 0 or epoch + 1 == policy.epochs:
                best.judge(epoch + 1, trainer)
            return epoch + 1 - best.epoch <= PATIENCE

        trainer = train(options.model, items, histories, np.maximum(last - 1, 0), [0], policy, options.seed, judge)
    trainer.restore(best.state, Moves(Columns(), Columns()))
    counts = PairCounts(histories, np.maximum(last - 1, 0), items)
    weights = _weigh(trainer, counts, histories, kept[:WEIGHED_ON], last - 1)
    found = {
        MODEL: _places(trainer, counts, weights, histories, kept, last),
        f"{options.model} alone": _places(trainer, counts, (1.0, 0.0, 0.0), histories, kept, last),
        "covisitation": _counted_places(counts, 0, histories, kept, last),
        "transitions of the last 5": _counted_places(counts, 1, histories, kept, last),
    }
    return BenchmarkResult(
        protocol="loo",
        dataset=dataset.name,
        events=len(histories.rows),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods={name: figures_of(places) for name, places in found.items()},
        anchors=ANCHORS.get(dataset.name, {}),
        also={
            "users": len(kept),
            "items": items,
            "model": options.model,
            "epoch": best.epoch,
            "weights of encoder, co-visitation, transitions": list(weights),
        },
    )


def figures_of(places: Rows) -> dict[str, float]:
    """HR, NDCG and MRR at 10."""
    found = ranking_figures(places, np.ones(len(places), bool))
    return {metric: value for metric, value in found.items() if not metric.endswith(BY_TENTH)}


def histories_of(dataset: Dataset, limit: int | None = None, scenario: int = 0) -> TrainingHistories:
    """What each user did, in order of time; a rating as the trainer reads one."""
    order = np.argsort(dataset.users[:limit], kind="stable")
    users = dataset.users[:limit][order]
    return TrainingHistories(
        starts=np.concatenate([[0], np.cumsum(np.bincount(users, minlength=len(dataset.user_ids)))]),
        rows=dataset.items[:limit][order].astype(np.int64) + 1,
        actions=np.full(len(users), 1 + ACTIONS.index("rate")),
        values=np.clip((dataset.values[:limit][order] - 1) / 4, 0, 1).astype(np.float32),
        scenarios=np.full(len(users), scenario),
        at=dataset.times_ms[:limit][order] / 1000.0,
    )


class _Best:
    """The epoch that found most of the items that were held out for choosing."""

    def __init__(self, histories: TrainingHistories, users: Rows, ends: Rows) -> None:
        self._histories, self._users, self._ends = histories, users[:JUDGED_USERS], ends
        self.epoch = 0
        self.quality = -1.0
        self.state: dict[str, Any] = {}

    def judge(self, epoch: int, trainer: EncoderTrainer) -> None:
        places = _places(trainer, None, (1.0, 0.0, 0.0), self._histories, self._users, self._ends)
        quality = float(gains_at_10(places).mean())
        if quality > self.quality:
            self.epoch, self.quality, self.state = epoch, quality, deepcopy(trainer.state())


def _weigh(
    trainer: EncoderTrainer, counts: PairCounts, histories: TrainingHistories, users: Rows, ends: Rows
) -> tuple[float, float, float]:
    """The weights of both counts beside the encoder that find most of what was held out for choosing."""

    def quality(weights: tuple[float, float, float]) -> float:
        return float(gains_at_10(_places(trainer, counts, weights, histories, users, ends)).mean())

    together = max(WEIGHTS, key=lambda weight: quality((1.0, weight, 0.0)))
    moves = max(WEIGHTS, key=lambda weight: quality((1.0, together, weight)))
    return 1.0, together, moves


def _places(
    trainer: EncoderTrainer,
    counts: PairCounts | None,
    weights: tuple[float, float, float],
    histories: TrainingHistories,
    users: Rows,
    ends: Rows,
) -> Rows:
    """Places by the weighed sum of encoder and counts."""

    def score(some: Rows, at: Rows) -> NDArray[np.float32]:
        scores = np.zeros((len(some), len(trainer.table)), np.float32)
        if weights[0]:
            scores += weights[0] * encoder_scores(trainer, histories, some, at)
        if counts is not None and any(weights[1:]):
            for weight, found in zip(weights[1:], counts.scores(some, at), strict=True):
                scores += np.float32(weight) * found
        return scores

    return ranks_of(score, histories, users, ends)


def _counted_places(counts: PairCounts, which: int, histories: TrainingHistories, users: Rows, ends: Rows) -> Rows:
    """Places by one of the counts."""
    usual = UNKNOWN * counts.popularity / counts.popularity.max()

    def score(some: Rows, at: Rows) -> NDArray[np.float32]:
        return np.asarray(counts.scores(some, at)[which] + usual, np.float32)

    return ranks_of(score, histories, users, ends)
