"""Why an item is in a list, in words."""

from collections.abc import Sequence

import numpy as np

from eddy.contract.sources import SOURCES
from eddy_scorer.core.ranking.batch import Batch, Candidates
from eddy_scorer.core.ranking.policy import Choice
from eddy_scorer.core.sources.covisited import LAST_ITEMS, PLACE_WEIGHTS
from eddy_scorer.core.state.arrays import I64
from eddy_scorer.core.state.knowledge import Knowledge

EXPLORATION = "exploration"
POPULAR = "popular"
_WORDS = {"encoder": "taste", "trending": "trending", "fresh": "new", "random": EXPLORATION, "query": "query"}
# By source number; the one after the last is for what filled up.
_WORD_OF = [*(_WORDS.get(source, "") for source in SOURCES), POPULAR]
_FILLED = len(SOURCES)
_COVISITED, _ENCODER = SOURCES.index("covisited"), SOURCES.index("encoder")
LEAST_LIKENESS = 0.3  # cosine; rows are unit vectors


class Reasons:
    """`covisited:<item id>` names the one of the user's last items that calls most for this one, `taste:<item id>` the one most like it by
    the model's vectors, where one is like it at all; other sources have a word."""

    def __init__(self, knowledge: Knowledge) -> None:
        self._knowledge = knowledge

    def of(self, batch: Batch, candidates: Candidates, chosen: Sequence[Choice]) -> list[list[str]]:
        """The reason of each place of each list."""
        codes = np.where(candidates.filled, _FILLED, candidates.sources).tolist()
        words: list[list[str]] = []
        named: dict[int, list[tuple[int, int, int]]] = {_COVISITED: [], _ENCODER: []}
        for line, choice in enumerate(chosen):
            own = [codes[line][column] for column in choice.columns]
            words.append([_WORD_OF[code] for code in own])
            words[line][choice.ranked :] = [EXPLORATION] * (len(own) - choice.ranked)
            for place, code in enumerate(own[: choice.ranked]):
                if code in named:
                    named[code].append((line, place, choice.columns[place]))
        for code, places in named.items():
            if places:
                self._name_causes(batch, candidates, code, places, words)
        return words

    def _name_causes(
        self,
        batch: Batch,
        candidates: Candidates,
        code: int,
        places: list[tuple[int, int, int]],
        words: list[list[str]],
    ) -> None:
        lines, _, columns = np.array(places).T
        last, rows = batch.histories.rows[lines, -LAST_ITEMS:], candidates.rows[lines, columns]
        word = "covisited" if code == _COVISITED else "taste"
        causes = self._strongest(last, rows) if code == _COVISITED else self._likest(last, rows)
        for (line, place, _), row in zip(places, causes.tolist(), strict=True):
            if row:
                words[line][place] = f"{word}:{self._knowledge.catalogue.ids[row]}"

    def _likest(self, last: I64, rows: I64) -> I64:
        """Of each line of `last` [R, L] the item most like `rows` [R], 0 where none is like it."""
        vectors = self._knowledge.table.vectors
        known = np.where(last < len(vectors), last, 0)
        likeness = np.where(known > 0, np.einsum("rld,rd->rl", vectors[known], vectors[rows]), -1.0)
        best = np.argmax(likeness, axis=1)
        lines = np.arange(len(known))
        return np.where(likeness[lines, best] >= LEAST_LIKENESS, known[lines, best], 0)

    def _strongest(self, last: I64, rows: I64) -> I64:
        """Of each line of `last` [R, L] the item that calls most for `rows` [R]."""
        matrices = self._knowledge.matrices
        known = np.where(last < matrices.size, last, 0)
        each = np.broadcast_to(rows[:, None], known.shape)
        calls = np.asarray(matrices.together[known.ravel(), each.ravel()]).reshape(known.shape)
        return np.asarray(known[np.arange(len(known)), np.argmax(calls * PLACE_WEIGHTS * (known > 0), axis=1)])
