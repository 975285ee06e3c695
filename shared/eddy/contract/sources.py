"""Candidate sources: the closed set, one line a source.

To add a source, add its line here and its class, in a file of its name, to `eddy_scorer.core.sources`.
"""

from dataclasses import dataclass

from eddy.contract.reasons import COVISITED, EXPLORATION, NEW, PERSONAL, QUERY, SIMILAR_TO, TRENDING


@dataclass(frozen=True, slots=True)
class CandidateSource:
    """A source of candidates.

    `reason` explains an item of this source to users (eddy.contract.reasons). A source that can name the item of the history that a
    candidate belongs to gives `<item_reason>:<item id>` instead.

    `quota` is the default of `candidates: {<name>: 30}` in scenarios.yaml, the maximum number of candidates from this source; None is
    the number of candidates that are ranked. `merged` sources are interleaved by their quotas; the others add to the merged candidates.
    `flagged` sources have a ranking feature `from_<name>`, 1 for the candidates that they proposed.
    """

    name: str
    reason: str
    quota: int | None = None
    merged: bool = True
    flagged: bool = False
    item_reason: str = ""


# The order decides between two merged sources that are due at the same position.
CANDIDATE_SOURCES = (
    CandidateSource("query", QUERY),
    CandidateSource("encoder", PERSONAL, quota=40, flagged=True, item_reason=SIMILAR_TO),
    CandidateSource("covisited", COVISITED, quota=30, flagged=True, item_reason=COVISITED),
    CandidateSource("trending", TRENDING, quota=10, flagged=True),
    CandidateSource("fresh", NEW, quota=3),
    CandidateSource("random", EXPLORATION, merged=False),
    CandidateSource("given", "", merged=False),
)

SOURCES = tuple(source.name for source in CANDIDATE_SOURCES)
FLAGGED_SOURCES = tuple(source.name for source in CANDIDATE_SOURCES if source.flagged)
