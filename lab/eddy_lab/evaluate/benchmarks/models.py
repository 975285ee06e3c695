"""`models`: every kind of model on the same stream: quality, parameters, and costs of training and serving."""

from rich.console import Console

from eddy_lab.evaluate.options import Options
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_lab.evaluate.variants import Variant, compare
from eddy_trainer.core.learner import LearnerPolicy
from eddy_trainer.core.models import MODELS

UNUSED_OPTIONS = ("model",)


def run(options: Options, console: Console) -> BenchmarkResult:
    """Play the whole data set, or its first `limit` events, once for each model."""
    variants = {name: Variant(LearnerPolicy(options.seed, name)) for name in MODELS}
    return compare("models", variants, options, console)
