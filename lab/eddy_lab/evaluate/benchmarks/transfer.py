"""`transfer`: several files of sequences as scenarios of one model, users and items of their own each: only the encoder is shared.

`joint` is one model whose gates know the scenario, `solo` a model for each. What serves is the joint model, but for a scenario where it
finds less than solo of the items held out for choosing: there it falls back, and the report says so. A new scenario
(leave one scenario out) starts with the encoder that all others have trained, beside one that starts with nothing, both with few passes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
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
FEW = replace(POLICY, epochs=4)
DRAWS = 1000


@dataclass(frozen=True, slots=True)
class _Part:
    """A scenario: its name, its histories with item rows from 1, and how many items it has."""

    name: str
    histories: TrainingHistories
    items: int

    @property
    def kept(self) -> Rows:
        """Users with something to train on beside the two interactions that are held out."""
        return np.flatnonzero(self.last >= 2)

    @property
    def last(self) -> Rows:
        return self.histories.lengths() - 1


WITHOUT = ("scenario", "action", "text")  # options that say nothing here


def run(options: Options, console: Console) -> BenchmarkResult:
    """All files of sequences in the folder that `--data` names. Raises ConfigError where there are none."""
    if options.data is None or not options.data.is_dir():
        raise ConfigError("transfer needs a folder of sequence files: --data folder/with/Beauty.txt")
    started = time.monotonic()
    parts = _parts(options.data, options.limit)
    passes = 2 * POLICY.epochs + 2 * FEW.epochs
    methods: dict[str, dict[str, float]] = {}
    with bar(console, "transfer", passes * len(parts), "passes over a scenario") as show:
        done = _Done(show)
        together, rows = _together(parts)
        joint = _train(options, together, rows[-1].stop - 1, range(len(parts)), POLICY, done.many(len(parts)))
        solo = [_train(options, part.histories, part.items, [0], POLICY, done.many(1)) for part in parts]
        falls_back = []
        users = _users(parts)
        for number, part in enumerate(parts):
            kept = part.kept
            valid, asked = (
                {
                    "joint": _places(joint, together, users[number][kept], together.lengths() - back, rows[number]),
                    "solo": _places(solo[number], part.histories, kept, part.last + 1 - back),
                }
                for back in (2, 1)
            )
            held_out_gain = float((gains_at_10(valid["joint"]) - gains_at_10(valid["solo"])).mean())
            worse = held_out_gain < 0
            if worse:
                falls_back.append(part.name)
            methods[f"{part.name}: {MODEL}"] = figures_of(asked["solo" if worse else "joint"])
            methods |= {f"{part.name}: {name}": figures_of(places) for name, places in asked.items()}
            low, high = _interval(gains_at_10(asked["joint"]) - gains_at_10(asked["solo"]), options.seed)
            methods[f"{part.name}: joint"] |= {"held_out_gain": held_out_gain, "gain_low": low, "gain_high": high}
            methods |= _left_out(options, parts, number, done)
    return BenchmarkResult(
        protocol="transfer",
        dataset=options.data.resolve().name,
        events=len(together.rows),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods=methods,
        also={"falls back to solo": falls_back, "model": options.model},
    )


class _Done:
    """Counts passes over scenarios."""

    def __init__(self, show: Callable[[int], None]) -> None:
        self._show = show
        self._passes = 0

    def many(self, passes: int) -> Callable[[int, EncoderTrainer], bool]:
        """To be called after every epoch, which is so many passes."""

        def count(_: int, __: EncoderTrainer) -> bool:
            self._passes += passes
            self._show(self._passes)
            return True

        return count


def _parts(folder: Path, limit: int | None) -> list[_Part]:
    paths = sorted(folder.glob("*.txt"))[:MAX_SCENARIOS]
    if len(paths) < 2:
        raise ConfigError(
            f"{folder} holds {len(paths)} files of sequences (*.txt): transfer is between two and {MAX_SCENARIOS}"
        )
    found = [read_folder(path).cut(limit) for path in paths]
    return [_Part(one.name, histories_of(one), len(one.item_ids)) for one in found]


def _together(parts: list[_Part]) -> tuple[TrainingHistories, list[slice]]:
    """All scenarios in one: items of each in rows of its own, which are returned."""
    offsets = np.cumsum([0, *(part.items for part in parts)])
    all_of = [part.histories for part in parts]
    starts = [
        one.starts[:-1] + base
        for one, base in zip(all_of, np.cumsum([0, *(len(one.rows) for one in all_of)]), strict=False)
    ]
    events = [len(one.rows) for one in all_of]
    together = TrainingHistories(
        starts=np.concatenate([*starts, [sum(events)]]),
        rows=np.concatenate([one.rows + offset for one, offset in zip(all_of, offsets, strict=False)]),
        actions=np.concatenate([one.actions for one in all_of]),
        values=np.concatenate([one.values for one in all_of]),
        scenarios=np.repeat(np.arange(len(parts)), events),
        at=np.concatenate([one.at for one in all_of]),
    )
    return together, [slice(1 + int(low), 1 + int(high)) for low, high in pairwise(offsets)]


def _users(parts: list[_Part]) -> list[Rows]:
    """The users of each scenario among those of all."""
    bases = np.cumsum([0, *(len(part.histories) for part in parts)])
    return [np.arange(low, high) for low, high in pairwise(bases)]


def _train(
    options: Options,
    histories: TrainingHistories,
    items: int,
    scenarios: "range | list[int]",
    policy: OfflinePolicy,
    after: Callable[[int, EncoderTrainer], bool],
    start: EncoderTrainer | None = None,
) -> EncoderTrainer:
    """On all but the last two interactions of each user."""
    ends = np.maximum(histories.lengths() - 2, 0)
    weights = None if start is None else start.encoder.state_dict()
    return train(options.model, items, histories, ends, list(scenarios), policy, options.seed, after, weights)


def _places(
    trainer: EncoderTrainer, histories: TrainingHistories, users: Rows, ends: Rows, items: slice = slice(1, None)
) -> Rows:
    return ranks_of(lambda some, at: encoder_scores(trainer, histories, some, at), histories, users, ends, items)


def _left_out(options: Options, parts: list[_Part], number: int, done: _Done) -> dict[str, dict[str, float]]:
    """A scenario as the last one to come: with the encoder of all others, and with none."""
    others, rows = _together([part for other, part in enumerate(parts) if other != number])
    shared = _train(options, others, rows[-1].stop - 1, range(len(rows)), FEW, done.many(1))
    part = parts[number]
    # It has a gate of its own, which nobody has moved: it starts as the shared model.
    own = replace(part.histories, scenarios=np.full(len(part.histories.rows), len(rows)))
    found = {}
    for name, start in (("new, shared start", shared), ("new, from nothing", None)):
        trainer = _train(options, own, part.items, [len(rows)], FEW, lambda *_: True, start)
        found[f"{part.name}: {name}"] = figures_of(_places(trainer, own, part.kept, part.last))
    done.many(FEW.epochs)(0, shared)
    return found


def _interval(differences: "np.ndarray[tuple[int], np.dtype[np.float64]]", seed: int) -> tuple[float, float]:
    """95 % interval of the mean of paired differences, by a bootstrap over users."""
    random = np.random.default_rng(seed)
    means = [differences[random.integers(0, len(differences), len(differences))].mean() for _ in range(DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
