"""`transfer`: several sequence files as scenarios of one model. Each has its own users and items; only the encoder is shared.

`joint` is one model with gates per scenario, `solo` one model per scenario. The joint model serves, except in scenarios where its NDCG@10
on the validation items is below that of solo; those fall back to solo, and the report names them. For each scenario left out, `new, shared
start` continues from the encoder trained on the others, `new, from scratch` from nothing, both with few passes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from eddy.contract.model import MAX_SCENARIOS
from eddy.errors import ConfigError
from eddy_cli.datasets import read_folder
from eddy_lab.evaluate.benchmarks.loo import figures_of, histories_of
from eddy_lab.evaluate.offline import OfflinePolicy, Rows, TrainingHistories, encoder_scores, ranks_of, train
from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.progress import bar
from eddy_lab.evaluate.ranking import gains_at_10
from eddy_lab.evaluate.result import MODEL, BenchmarkResult
from eddy_trainer.core.encoder_training import EncoderTrainer

POLICY = OfflinePolicy(epochs=16, users=128, rate=2e-3, dropout=0.4, full_softmax_items=0)
FEW_EPOCHS = replace(POLICY, epochs=4)
RESAMPLES = 1000
UNUSED_OPTIONS = ("scenario", "action", "text")

Figures = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class _Scenario:
    """One file: its name, its histories with item rows from 1, and its number of items."""

    name: str
    histories: TrainingHistories
    items: int

    @property
    def scored_users(self) -> Rows:
        """Users with interactions to train on besides the two that are held out."""
        return np.flatnonzero(self.last >= 2)

    @property
    def last(self) -> Rows:
        return self.histories.lengths() - 1


@dataclass(frozen=True, slots=True)
class _Joined:
    """Several scenarios in one: the item rows and the users of each scenario."""

    histories: TrainingHistories
    rows: Sequence[slice]
    users: Sequence[Rows]

    @property
    def items(self) -> int:
        return int(self.rows[-1].stop) - 1


def run(options: Options, console: Console) -> BenchmarkResult:
    """Run on all sequence files in the folder `--data`. Raises ConfigError if there are fewer than two."""
    if options.data is None or not options.data.is_dir():
        raise ConfigError("transfer needs a folder of sequence files. Use --data folder/with/Beauty.txt")
    scenarios = _read(options.data, options.limit)
    passes = 2 * POLICY.epochs + 2 * FEW_EPOCHS.epochs
    methods: Figures = {}
    falls_back = []
    with bar(console, "transfer", passes * len(scenarios), "passes over a scenario") as show:
        counter = _PassCounter(show)
        joined = _join(scenarios)
        every = range(len(scenarios))
        joint = _train(options, joined.histories, joined.items, every, POLICY, counter.passes(len(scenarios)))
        for number, scenario in enumerate(scenarios):
            solo = _train(options, scenario.histories, scenario.items, [0], POLICY, counter.passes(1))
            figures, worse = _compare(joint, joined, number, solo, scenario, options.seed)
            methods |= figures
            if worse:
                falls_back.append(scenario.name)
            methods |= _leave_out(options, scenarios, number, counter)
    return BenchmarkResult(
        dataset=options.data.resolve().name,
        events=len(joined.histories.rows),
        methods=methods,
        details={"falls back to solo": falls_back, "model": options.model},
    )


def _compare(
    joint: EncoderTrainer, joined: _Joined, number: int, solo: EncoderTrainer, scenario: _Scenario, seed: int
) -> tuple[Figures, bool]:
    """Figures of scenario `number` by both models, and whether joint is worse on the validation items."""
    users = scenario.scored_users
    joint_users, rows = joined.users[number][users], joined.rows[number]
    valid, test = (
        {
            "joint": _ranks(joint, joined.histories, joint_users, joined.histories.lengths() - back, rows),
            "solo": _ranks(solo, scenario.histories, users, scenario.last + 1 - back),
        }
        for back in (2, 1)
    )
    validation_gain = float((gains_at_10(valid["joint"]) - gains_at_10(valid["solo"])).mean())
    worse = validation_gain < 0
    figures = {f"{scenario.name}: {MODEL}": figures_of(test["solo" if worse else "joint"])}
    figures |= {f"{scenario.name}: {name}": figures_of(ranks) for name, ranks in test.items()}
    low, high = _interval(gains_at_10(test["joint"]) - gains_at_10(test["solo"]), seed)
    figures[f"{scenario.name}: joint"] |= {"validation_gain": validation_gain, "gain_low": low, "gain_high": high}
    return figures, worse


class _PassCounter:
    """Counts passes over scenarios, for the progress bar."""

    def __init__(self, show: Callable[[int], None]) -> None:
        self._show = show
        self._passes = 0

    def passes(self, number: int) -> Callable[[int, EncoderTrainer], bool]:
        """A function to call after each epoch, which counts `number` passes."""

        def count(_: int, __: EncoderTrainer) -> bool:
            self.add(number)
            return True

        return count

    def add(self, number: int) -> None:
        self._passes += number
        self._show(self._passes)


def _read(folder: Path, limit: int | None) -> list[_Scenario]:
    paths = sorted(folder.glob("*.txt"))[:MAX_SCENARIOS]
    if len(paths) < 2:
        raise ConfigError(
            f"{folder} contains {len(paths)} sequence files (*.txt). transfer needs at least two and uses the first {MAX_SCENARIOS}"
        )
    data_sets = [read_folder(path).cut(limit) for path in paths]
    return [_Scenario(data.name, histories_of(data), len(data.item_ids)) for data in data_sets]


def _join(scenarios: Sequence[_Scenario]) -> _Joined:
    histories = [scenario.histories for scenario in scenarios]
    first_rows = np.cumsum([0, *(scenario.items for scenario in scenarios)])
    first_users = np.cumsum([0, *(len(each) for each in histories)])
    events = [len(each.rows) for each in histories]
    first_events = np.cumsum([0, *events])
    starts = [each.starts[:-1] + first for each, first in zip(histories, first_events[:-1], strict=True)]
    joined = TrainingHistories(
        starts=np.concatenate([*starts, first_events[-1:]]),
        rows=np.concatenate([each.rows + first for each, first in zip(histories, first_rows[:-1], strict=True)]),
        actions=np.concatenate([each.actions for each in histories]),
        values=np.concatenate([each.values for each in histories]),
        scenarios=np.repeat(np.arange(len(scenarios)), events),
        at=np.concatenate([each.at for each in histories]),
    )
    rows = [slice(1 + int(low), 1 + int(high)) for low, high in pairwise(first_rows)]
    return _Joined(joined, rows, [np.arange(low, high) for low, high in pairwise(first_users)])


def _train(
    options: Options,
    histories: TrainingHistories,
    items: int,
    scenarios: Sequence[int],
    policy: OfflinePolicy,
    after_epoch: Callable[[int, EncoderTrainer], bool],
    start: EncoderTrainer | None = None,
) -> EncoderTrainer:
    """Train on all but the last two interactions of each user."""
    ends = np.maximum(histories.lengths() - 2, 0)
    weights = None if start is None else start.encoder.state_dict()
    return train(options.model, items, histories, ends, scenarios, policy, options.seed, after_epoch, weights)


def _ranks(
    trainer: EncoderTrainer, histories: TrainingHistories, users: Rows, ends: Rows, items: slice = slice(1, None)
) -> Rows:
    return ranks_of(lambda batch, at: encoder_scores(trainer, histories, batch, at), histories, users, ends, items)


def _leave_out(options: Options, scenarios: Sequence[_Scenario], number: int, counter: _PassCounter) -> Figures:
    """Scenario `number` as a new one: starting from the encoder of all others, and from scratch."""
    others = _join([scenario for other, scenario in enumerate(scenarios) if other != number])
    new = len(others.rows)
    shared = _train(options, others.histories, others.items, range(new), FEW_EPOCHS, counter.passes(1))
    scenario = scenarios[number]
    # The gate of the new scenario is untrained, so the scenario starts as the shared model.
    own = replace(scenario.histories, scenarios=np.full(len(scenario.histories.rows), new))
    figures = {}
    for name, start in (("new, shared start", shared), ("new, from scratch", None)):
        trainer = _train(options, own, scenario.items, [new], FEW_EPOCHS, lambda *_: True, start)
        figures[f"{scenario.name}: {name}"] = figures_of(_ranks(trainer, own, scenario.scored_users, scenario.last))
    counter.add(FEW_EPOCHS.epochs)
    return figures


def _interval(differences: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """95 % interval of the mean of paired differences, by a bootstrap over users."""
    random = np.random.default_rng(seed)
    means = [differences[random.integers(0, len(differences), len(differences))].mean() for _ in range(RESAMPLES)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
