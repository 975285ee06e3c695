"""`isgd`: the five-star protocol of incremental matrix factorisation (Vinagre, Jorge and Gama 2014).

Only ratings of five are feedback. The first fifth of them warms up; then each is ranked among the items that its user has not seen, if the
user is known, and learned. Recall@10 of one relevant item is HR@10.
"""

import numpy as np
from rich.console import Console

from eddy_lab.evaluate.benchmarks.stream import prequential
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.result import BenchmarkResult

BEST = 5.0
WARM_UP = 0.2
ANCHORS = {
    "ml-1m": {"co-occurrence, measured before": {"hr_at_10": 0.2025}, "ISGD, measured before": {"hr_at_10": 0.051}}
}


def run(options: Options, console: Console) -> BenchmarkResult:
    """All five-star ratings of the data set, or the first `limit` of them."""
    everything = whole_stream(options)
    stream = everything.where(everything.at_least(BEST)).cut(options.limit)
    counted = stream.scored() & (np.arange(len(stream)) >= WARM_UP * len(stream))
    return prequential("isgd", stream, counted, options, console, ANCHORS.get(stream.dataset))
