"""Where candidates come from: the closed set, one line a source.

To add a source, add its line here and its class, in a file of its name, to `eddy_scorer.core.sources`.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CandidateSource:
    """`reason` is the word that explains an item of this source to users; some sources append `:<item id>` to it.

    `quota` is how many candidates the source may bring, unless scenarios.yaml says otherwise (`candidates: {<name>: 30}`); None is as
    many as are ranked. Sources that are `merged` are interleaved by their quotas; the others add to what came of that. `flagged`: the
    ranker reads whether the source brought a candidate, as the feature `from_<name>`.
    """

    name: str
    reason: str
    quota: int | None = None
    merged: bool = True
    flagged: bool = False


# Of two merged sources that are due at the same position, the first goes first.
CANDIDATE_SOURCES = (
    CandidateSource("query", "query"),
    CandidateSource("encoder", "taste", quota=40, flagged=True),
    CandidateSource("covisited", "covisited", quota=30, flagged=True),
    CandidateSource("trending", "trending", quota=10, flagged=True),
    CandidateSource("fresh", "new", quota=3),
    CandidateSource("random", "exploration", merged=False),
    CandidateSource("given", "", merged=False),
)

SOURCES = tuple(source.name for source in CANDIDATE_SOURCES)
FLAGGED_SOURCES = tuple(source.name for source in CANDIDATE_SOURCES if source.flagged)
