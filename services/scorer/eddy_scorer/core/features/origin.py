"""The sources that proposed a candidate: one feature for each source that is `flagged` in `eddy.contract.sources`."""

from functools import partial

import numpy as np

from eddy.contract.sources import FLAGGED_SOURCES
from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import Feature
from eddy_scorer.core.state.arrays import F32


def _proposed_by(source: str, context: FeatureContext) -> F32:
    """1 where `source` proposed the candidate, whichever source is credited with it."""
    return context.candidates.proposed_by[source].astype(np.float32)


FROM_SOURCES = tuple(Feature(f"from_{name}", partial(_proposed_by, name)) for name in FLAGGED_SOURCES)
