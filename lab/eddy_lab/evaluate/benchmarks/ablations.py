"""`ablations`: what each part of the recipe is worth, and what each shortcut for large catalogues loses, on the same stream.

`as served` samples its softmax, looks at every item and reads what items say in words; each other variant changes one thing.
"""

from rich.console import Console

from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.variants import Variant, compare
from eddy_trainer.core.encoder_training import EncoderPolicy
from eddy_trainer.core.learner import LearnerPolicy

EVERY_ITEM = 10**9


def run(options: Options, console: Console) -> BenchmarkResult:
    """All of the data set, or the first `limit` events of it, once for each variant."""
    seed, model = options.seed, options.model

    def learning(encoder: EncoderPolicy) -> LearnerPolicy:
        return LearnerPolicy(seed, model, encoder)

    served = learning(EncoderPolicy())
    variants = {
        "as served": Variant(served),
        "no words": Variant(served, text=False),
        "full softmax": Variant(learning(EncoderPolicy(full_softmax_items=EVERY_ITEM))),
        "approximate index": Variant(served, approximate_from=1),
        "masked beside": Variant(learning(EncoderPolicy(objective="masked"))),
        "contrastive beside": Variant(learning(EncoderPolicy(objective="contrastive"))),
    }
    return compare("ablations", variants, options, console)
