"""`ablations`: the effect of each part of the recipe, and of each approximation for large catalogues, on the same stream.

`as served` has a sampled softmax, exact search and embeds the words of items; every other variant changes one of these.
"""

from rich.console import Console

from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.variants import Variant, compare
from eddy_trainer.core.encoder_training import EncoderPolicy
from eddy_trainer.core.learner import LearnerPolicy

ALL_ITEMS = 10**9


def run(options: Options, console: Console) -> BenchmarkResult:
    """Play the whole data set, or its first `limit` events, once for each variant."""
    seed, model = options.seed, options.model

    def learning(encoder: EncoderPolicy) -> LearnerPolicy:
        return LearnerPolicy(seed, model, encoder)

    served = learning(EncoderPolicy())
    variants = {
        "as served": Variant(served),
        "no words": Variant(served, text=False),
        "full softmax": Variant(learning(EncoderPolicy(full_softmax_items=ALL_ITEMS))),
        "approximate index": Variant(served, approximate_from=1),
        "masked, auxiliary": Variant(learning(EncoderPolicy(objective="masked"))),
        "contrastive, auxiliary": Variant(learning(EncoderPolicy(objective="contrastive"))),
    }
    return compare("ablations", variants, options, console)
