"""`loo`: leave one out. The last item of each user is the test, the last but one chooses the epoch, all earlier ones train.

All items that the user has not seen are ranked; ties count against the model. The method `model` combines the encoder with item-to-item
counts, as the product does; the weights are chosen on the same items as the epoch. Popularity breaks the ties of a count.
"""

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
from eddy_trainer.core.migration import ColumnMigration

_DENSE = OfflinePolicy(epochs=16, users=64, rate=4e-3, dropout=0.2)
_SPARSE = OfflinePolicy(epochs=24, users=128, rate=2e-3, dropout=0.4, full_softmax_items=0)
VALIDATION_EPOCHS, VALIDATION_USERS, PATIENCE = 4, 4000, 12
WEIGHTING_USERS = 3000
WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
POPULARITY_WEIGHT = 1e-6  # added to the scores of a count
DENSE_FROM = 50.0  # interactions per user, on average
PUBLISHED = {
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
UNUSED_OPTIONS = ("scenario", "action", "text")


def run(options: Options, console: Console) -> BenchmarkResult:
    """Run on the whole data set, or on its first `limit` events."""
    dataset = load(options.dataset, options.data)
    histories = histories_of(dataset, options.limit)
    items, last = len(dataset.item_ids), histories.lengths() - 1
    users = np.flatnonzero(last >= 2)
    if not len(users):
        raise ConfigError(
            f"{dataset.name} has no user with three events: one each to train, to validate and to test. Use more events"
        )
    policy = _DENSE if len(histories.rows) >= DENSE_FROM * np.count_nonzero(last >= 0) else _SPARSE
    best = _BestEpoch(histories, users, last - 1)
    with bar(console, f"loo {dataset.name}", policy.epochs, "epochs") as show:

        def validate(epoch: int, trainer: EncoderTrainer) -> bool:
            show(epoch + 1)
            if (epoch + 1) % VALIDATION_EPOCHS == 0 or epoch + 1 == policy.epochs:
                best.validate(epoch + 1, trainer)
            return epoch + 1 - best.epoch <= PATIENCE

        trainer = train(options.model, items, histories, np.maximum(last - 1, 0), [0], policy, options.seed, validate)
    trainer.restore(best.state, ColumnMigration(Columns(), Columns()))
    counts = PairCounts(histories, np.maximum(last - 1, 0), items)
    weights = _choose_weights(trainer, counts, histories, users[:WEIGHTING_USERS], last - 1)
    ranks = {
        MODEL: _ranks(trainer, counts, weights, histories, users, last),
        f"{options.model} alone": _ranks(trainer, counts, (1.0, 0.0, 0.0), histories, users, last),
        "covisitation": _count_ranks(counts, 0, histories, users, last),
        "transitions of the last 5": _count_ranks(counts, 1, histories, users, last),
    }
    return BenchmarkResult(
        dataset=dataset.name,
        events=len(histories.rows),
        methods={name: figures_of(each) for name, each in ranks.items()},
        published=PUBLISHED.get(dataset.name, {}),
        details={
            "users": len(users),
            "items": items,
            "model": options.model,
            "epoch": best.epoch,
            "weights of encoder, co-visitation, transitions": list(weights),
        },
    )


def figures_of(ranks: Rows) -> dict[str, float]:
    """HR, NDCG and MRR at 10."""
    figures = ranking_figures(ranks, np.ones(len(ranks), bool))
    return {metric: value for metric, value in figures.items() if not metric.endswith(BY_TENTH)}


def histories_of(dataset: Dataset, limit: int | None = None, scenario: int = 0) -> TrainingHistories:
    """The interactions of each user in order of time, with ratings scaled as the trainer reads them."""
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


class _BestEpoch:
    """The epoch with the best NDCG@10 on the validation items."""

    def __init__(self, histories: TrainingHistories, users: Rows, ends: Rows) -> None:
        self._histories, self._users, self._ends = histories, users[:VALIDATION_USERS], ends
        self.epoch = 0
        self.quality = -1.0
        self.state: dict[str, Any] = {}

    def validate(self, epoch: int, trainer: EncoderTrainer) -> None:
        ranks = _ranks(trainer, None, (1.0, 0.0, 0.0), self._histories, self._users, self._ends)
        quality = float(gains_at_10(ranks).mean())
        if quality > self.quality:
            self.epoch, self.quality, self.state = epoch, quality, deepcopy(trainer.state())


def _choose_weights(
    trainer: EncoderTrainer, counts: PairCounts, histories: TrainingHistories, users: Rows, ends: Rows
) -> tuple[float, float, float]:
    """The weights of encoder, co-visitations and transitions with the best NDCG@10 on the validation items."""

    def quality(weights: tuple[float, float, float]) -> float:
        return float(gains_at_10(_ranks(trainer, counts, weights, histories, users, ends)).mean())

    covisitation = max(WEIGHTS, key=lambda weight: quality((1.0, weight, 0.0)))
    transitions = max(WEIGHTS, key=lambda weight: quality((1.0, covisitation, weight)))
    return 1.0, covisitation, transitions


def _ranks(
    trainer: EncoderTrainer,
    counts: PairCounts | None,
    weights: tuple[float, float, float],
    histories: TrainingHistories,
    users: Rows,
    ends: Rows,
) -> Rows:
    """Ranks by the weighted sum of encoder and counts."""

    def score(batch: Rows, positions: Rows) -> NDArray[np.float32]:
        scores = np.zeros((len(batch), len(trainer.table)), np.float32)
        if weights[0]:
            scores += weights[0] * encoder_scores(trainer, histories, batch, positions)
        if counts is not None and any(weights[1:]):
            for weight, count_scores in zip(weights[1:], counts.scores(batch, positions), strict=True):
                scores += np.float32(weight) * count_scores
        return scores

    return ranks_of(score, histories, users, ends)


def _count_ranks(counts: PairCounts, which: int, histories: TrainingHistories, users: Rows, ends: Rows) -> Rows:
    """Ranks by one of the counts: 0 is co-visitation, 1 transitions."""
    popularity = POPULARITY_WEIGHT * counts.popularity / counts.popularity.max()

    def score(batch: Rows, positions: Rows) -> NDArray[np.float32]:
        return np.asarray(counts.scores(batch, positions)[which] + popularity, np.float32)

    return ranks_of(score, histories, users, ends)
