"""Why an item is in a list, in words."""

from collections.abc import Sequence

import numpy as np

from services.scorer.arrays import I64
from services.scorer.batch import Batch, Candidates
from services.scorer.knowledge import Knowledge
from services.scorer.policy import Place
from services.scorer.sources.covisited import LAST_ITEMS, PLACE_WEIGHTS
from shared.metrics import SOURCES

EXPLORATION = "exploration"
_WORDS = {
    "encoder": "taste",
    "trending": "trending",
    "fresh": "new",
    "random": EXPLORATION,
    "given": "",
    "query": "query",
}
_COVISITED = SOURCES.index("covisited")


class Reasons:
    """`covisited:<item id>` names the strongest of the user's last items; other sources have a word."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    def of(self, batch: Batch, candidates: Candidates, chosen: Sequence[Sequence[Place]]) -> list[list[str]]:
        """The reason of each place of each list."""
        sources, filled = candidates.sources.tolist(), candidates.filled.tolist()
        words = [[_word(place, sources[line], filled[line]) for place in places] for line, places in enumerate(chosen)]
        which = [
            (line, position, place.candidate)
            for line, places in enumerate(chosen)
            for position, place in enumerate(places)
            if not place.explored and sources[line][place.candidate] == _COVISITED
        ]
        if which:
            lines, _, columns = (np.array(part) for part in zip(*which, strict=True))
            strongest = self._strongest(batch.histories.rows[lines, -LAST_ITEMS:], candidates.rows[lines, columns])
            for (line, position, _), row in zip(which, strongest.tolist(), strict=True):
                words[line][position] = f"covisited:{self._knowledge.catalogue.ids[row]}"
        return words

    def _strongest(self, last: I64, rows: I64) -> I64:
        """Of each line of `last` [R, L] the item that calls most for `rows` [R]."""
        matrices = self._knowledge.matrices
        known = np.where(last < matrices.size, last, 0)
        each = np.broadcast_to(rows[:, None], known.shape)
        calls = np.asarray(matrices.together[known.ravel(), each.ravel()]).reshape(known.shape)
        return np.asarray(known[np.arange(len(known)), np.argmax(calls * PLACE_WEIGHTS * (known > 0), axis=1)])


def _word(place: Place, sources: list[int], filled: list[bool]) -> str:
    if place.explored:
        return EXPLORATION
    return "popular" if filled[place.candidate] else _WORDS.get(SOURCES[sources[place.candidate]], "")
