"""`models`: every kind of model on the same stream: quality, predictions, parameters, and what it costs to train and to serve."""

from rich.console import Console

from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.variants import Variant, compare
from eddy_trainer.core.learner import LearnerPolicy
from eddy_trainer.core.models import MODELS

WITHOUT = ("model",)  # options that say nothing here


def run(options: Options, console: Console) -> BenchmarkResult:
    """All of the data set, or the first `limit` events of it, once for each model."""
    variants = {name: Variant(LearnerPolicy(options.seed, name)) for name in MODELS}
    return compare("models", variants, options, console)
