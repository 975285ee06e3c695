"""`isgd`: five-star ratings only, as in incremental matrix factorisation (Vinagre, Jorge and Gama 2014).

The first fifth of the ratings is a warm-up. Each later one is ranked among the items that its user has not seen, unless it is the user's
first, and then learned. With one relevant item, recall@10 is HR@10.
"""

import numpy as np
from rich.console import Console

from eddy_lab.evaluate.benchmarks.stream import play_stream
from eddy_lab.evaluate.options import Options, whole_stream
from eddy_lab.evaluate.result import BenchmarkResult

BEST = 5.0
WARM_UP = 0.2
PUBLISHED = {
    "ml-1m": {"co-occurrence, measured earlier": {"hr_at_10": 0.2025}, "ISGD, measured earlier": {"hr_at_10": 0.051}}
}


def run(options: Options, console: Console) -> BenchmarkResult:
    """Play all five-star ratings of the data set, or the first `limit` of them."""
    ratings = whole_stream(options)
    stream = ratings.where(ratings.at_least(BEST)).cut(options.limit)
    scored = stream.scored() & (np.arange(len(stream)) >= WARM_UP * len(stream))
    return play_stream("isgd", stream, scored, options, console, PUBLISHED.get(stream.dataset))
