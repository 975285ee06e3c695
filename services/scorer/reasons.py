"""Why an item is in a list, in words."""

from collections.abc import Sequence

import numpy as np

from services.scorer.arrays import I64
from services.scorer.batch import Batch, Candidates
from services.scorer.knowledge import Knowledge
from services.scorer.policy import Choice
from services.scorer.sources.covisited import LAST_ITEMS, PLACE_WEIGHTS
from shared.metrics import SOURCES

EXPLORATION = "exploration"
POPULAR = "popular"
_WORDS = {"encoder": "taste", "trending": "trending", "fresh": "new", "random": EXPLORATION, "query": "query"}
# By source number; the one after the last is for what filled up.
_WORD_OF = [*(_WORDS.get(source, "") for source in SOURCES), POPULAR]
_FILLED = len(SOURCES)
_COVISITED = SOURCES.index("covisited")


class Reasons:
    """`covisited:<item id>` names the strongest of the user's last items; other sources have a word."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    def of(self, batch: Batch, candidates: Candidates, chosen: Sequence[Choice]) -> list[list[str]]:
        """The reason of each place of each list."""
        codes = np.where(candidates.filled, _FILLED, candidates.sources).tolist()
        words: list[list[str]] = []
        covisited: list[tuple[int, int, int]] = []
        for line, choice in enumerate(chosen):
            own = [codes[line][column] for column in choice.columns]
            words.append([_WORD_OF[code] for code in own])
            words[line][choice.ranked :] = [EXPLORATION] * (len(own) - choice.ranked)
            ranked = enumerate(own[: choice.ranked])
            covisited += [(line, place, choice.columns[place]) for place, code in ranked if code == _COVISITED]
        if covisited:
            self._name_causes(batch, candidates, covisited, words)
        return words

    def _name_causes(
        self, batch: Batch, candidates: Candidates, covisited: list[tuple[int, int, int]], words: list[list[str]]
    ) -> None:
        lines, _, columns = np.array(covisited).T
        causes = self._strongest(batch.histories.rows[lines, -LAST_ITEMS:], candidates.rows[lines, columns])
        for (line, place, _), row in zip(covisited, causes.tolist(), strict=True):
            words[line][place] = f"covisited:{self._knowledge.catalogue.ids[row]}"

    def _strongest(self, last: I64, rows: I64) -> I64:
        """Of each line of `last` [R, L] the item that calls most for `rows` [R]."""
        matrices = self._knowledge.matrices
        known = np.where(last < matrices.size, last, 0)
        each = np.broadcast_to(rows[:, None], known.shape)
        calls = np.asarray(matrices.together[known.ravel(), each.ravel()]).reshape(known.shape)
        return np.asarray(known[np.arange(len(known)), np.argmax(calls * PLACE_WEIGHTS * (known > 0), axis=1)])
