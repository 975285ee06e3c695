"""Compares variants of learning on the same stream: quality overall and on new items, number of parameters and cost."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from eddy.contract.model import Columns
from eddy.contract.scenarios import load_scenarios
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.labels import LIKED, auc, liked_events
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.prequential import Prequential, PrequentialPolicy
from eddy_lab.evaluate.progress import bar, offset
from eddy_lab.evaluate.ranking import gains_at_10, ranking_figures
from eddy_lab.evaluate.releases import ReleaseCounts
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.tasks.next_item import NextItemTask
from eddy_lab.evaluate.tasks.rating import RatingTask
from eddy_trainer.core.learner import LearnerPolicy
from eddy_trainer.core.models import MODELS

NEW_ITEM_EVENTS = 5


@dataclass(frozen=True, slots=True)
class Variant:
    """Learning policy, whether to embed the words of items, and the catalogue size from which an approximate index is searched."""

    learning: LearnerPolicy
    text: bool = True
    approximate_from: int = 0


def compare(label: str, variants: Mapping[str, Variant], options: Options, console: Console) -> BenchmarkResult:
    """Play the first `limit` events once for each variant.

    Every rating is also an impression, clicked if it is at least 4: `auc` is that of its prediction over the second half of the stream.
    `new` figures are of items with at most NEW_ITEM_EVENTS earlier events. Costs are microseconds of CPU time per event.
    """
    stream = whole_stream(options).cut(options.limit)
    methods, releases = {}, {}
    with bar(console, label, len(variants) * len(stream)) as show:
        for number, (name, variant) in enumerate(variants.items()):
            methods[name], counts = _measure(stream, variant, options, offset(show, number * len(stream)))
            releases[name] = counts.as_dict()
    return BenchmarkResult(
        dataset=stream.dataset,
        events=len(stream),
        methods=methods,
        details={"events of new items": int(_of_new_items(stream).sum()), "releases": releases},
    )


def _measure(
    stream: Stream, variant: Variant, options: Options, progress: Callable[[int], None]
) -> tuple[dict[str, Any], ReleaseCounts]:
    labels, scenarios = liked_events(stream), load_scenarios(options.scenarios)
    next_item, rating = NextItemTask(stream, scenarios), RatingTask(stream, scenarios, LIKED)
    policy = PrequentialPolicy(learning=variant.learning, approximate_from=variant.approximate_from)
    text_model = options.text_model if variant.text else ""
    prequential = Prequential(stream, scenarios, policy, [next_item, rating], options.graphs, text_model)
    prequential.play(progress)
    scored, new = stream.scored(), _of_new_items(stream)
    second_half = stream.rated() & (np.arange(len(stream)) >= len(stream) // 2)
    figures = ranking_figures(next_item.ranks, scored)
    measured = {
        "ndcg_at_10": figures["ndcg_at_10"],
        "hr_at_10": figures["hr_at_10"],
        "auc": auc(rating.predictions[second_half], labels[second_half]),
        "new ndcg": float(gains_at_10(next_item.ranks)[scored & new].mean()),
        "new auc": auc(rating.predictions[second_half & new], labels[second_half & new]),
        "parameters": parameters_of(variant.learning.model),
        "train us": microseconds_per_event(prequential.train_sec, len(stream)),
        "serve us": microseconds_per_event(next_item.seconds, len(stream)),
        "ndcg_at_10_by_tenth": figures["ndcg_at_10_by_tenth"],
    }
    return measured, prequential.releases


def parameters_of(model: str) -> int:
    """Number of parameters that all users and items share in a kind of model."""
    kinds = MODELS[model]
    modules = (kinds.encoder(Columns()), kinds.ranker(Columns()))
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def microseconds_per_event(seconds: float, events: int) -> int:
    return round(1e6 * seconds / events)


def _of_new_items(stream: Stream) -> NDArray[np.bool_]:
    """Mask of the events on items with at most NEW_ITEM_EVENTS earlier events."""
    counts = np.zeros(len(stream.item_ids), np.int64)
    new = np.zeros(len(stream), bool)
    for index, item in enumerate(stream.items):
        new[index] = counts[item] <= NEW_ITEM_EVENTS
        counts[item] += 1
    return new
