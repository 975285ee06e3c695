"""Several variants of learning on the same stream: quality, also on items that hardly anybody knows, parameters and cost."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from eddy.contract.model import Columns
from eddy.contract.scenarios import load_scenarios
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.labels import LIKED, auc, liked
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.progress import bar, further
from eddy_lab.evaluate.ranking import gains_at_10, ranking_figures
from eddy_lab.evaluate.releases import ReleaseCounts
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.tasks.next_item import NextItemTask
from eddy_lab.evaluate.tasks.rating import RatingTask
from eddy_trainer.core.learner import LearnerPolicy
from eddy_trainer.core.models import MODELS

FEW = 5


@dataclass(frozen=True, slots=True)
class Variant:
    """How is learned, whether what items say in words is read, and from how many items on an index answers."""

    learning: LearnerPolicy
    text: bool = True
    approximate_from: int = 0


def compare(protocol: str, variants: Mapping[str, Variant], options: Options, console: Console) -> BenchmarkResult:
    """Play the first `limit` events once for each variant.

    Every rating is also a shown item, clicked where it is at least 4: `auc` is of its prediction over the second half of the stream.
    `new` figures are of items with at most FEW events before. Costs are microseconds of processor time an event.
    """
    stream = whole_stream(options).cut(options.limit)
    started = time.monotonic()
    methods, releases = {}, {}
    with bar(console, protocol, len(variants) * len(stream)) as show:
        for number, (name, variant) in enumerate(variants.items()):
            measured, counts = _measure(stream, variant, options, partial(further, show, number * len(stream)))
            methods[name], releases[name] = measured, counts.as_dict()
    return BenchmarkResult(
        protocol=protocol,
        dataset=stream.dataset,
        events=len(stream),
        seconds=time.monotonic() - started,
        seed=options.seed,
        methods=methods,
        also={"events of new items": int(_of_new_items(stream).sum()), "releases": releases},
    )


def _measure(
    stream: Stream, variant: Variant, options: Options, progress: Callable[[int], None]
) -> tuple[dict[str, Any], ReleaseCounts]:
    labels, scenarios = liked(stream), load_scenarios(options.scenarios)
    next_items, liking = NextItemTask(stream, scenarios), RatingTask(stream, scenarios, LIKED)
    policy = PrequentialPolicy(learning=variant.learning, approximate_from=variant.approximate_from)
    text_model = options.text_model if variant.text else ""
    played = Prequential(stream, scenarios, policy, [next_items, liking], options.graphs, text_model)
    played.play(progress)
    counted, new = stream.scored(), _of_new_items(stream)
    later = stream.rated() & (np.arange(len(stream)) >= len(stream) // 2)
    figures = ranking_figures(next_items.ranks, counted)
    measured = {
        "ndcg_at_10": figures["ndcg_at_10"],
        "hr_at_10": figures["hr_at_10"],
        "auc": auc(liking.predictions[later], labels[later]),
        "new ndcg": float(gains_at_10(next_items.ranks)[counted & new].mean()),
        "new auc": auc(liking.predictions[later & new], labels[later & new]),
        "parameters": parameters_of(variant.learning.model),
        "train us": round(1e6 * played.train_sec / len(stream)),
        "serve us": round(1e6 * next_items.seconds / len(stream)),
        "ndcg_at_10_by_tenth": figures["ndcg_at_10_by_tenth"],
    }
    return measured, played.releases


def parameters_of(model: str) -> int:
    """How many weights all users and items share in a kind of model."""
    kinds = MODELS[model]
    return sum(one.numel() for part in (kinds.encoder(Columns()), kinds.ranker(Columns())) for one in part.parameters())


def _of_new_items(stream: Stream) -> NDArray[np.bool_]:
    """Which events are of an item with at most FEW events before."""
    counts = np.zeros(len(stream.item_ids), np.int64)
    found = np.zeros(len(stream), bool)
    for index, item in enumerate(stream.items):
        found[index] = counts[item] <= FEW
        counts[item] += 1
    return found
