"""The reason of each item in a slate."""

from collections.abc import Sequence

import numpy as np

from eddy.contract.model import PADDING_ROW
from eddy.contract.reasons import EXPLORATION, PERSONAL, POPULAR
from eddy.contract.sources import CANDIDATE_SOURCES
from eddy_scorer.core.ranking.batch import CandidateBatch
from eddy_scorer.core.ranking.context import LAST_ITEMS, BatchContext
from eddy_scorer.core.ranking.executor import SourceExecutor
from eddy_scorer.core.ranking.policy import SlateChoice

# By index of the source; the last reason is that of popular items that fill up.
_NAMES = [source.name for source in CANDIDATE_SOURCES]
_REASONS = [*(source.reason for source in CANDIDATE_SOURCES), POPULAR]
_ITEM_REASONS = [source.item_reason for source in CANDIDATE_SOURCES]
_FILLED = len(CANDIDATE_SOURCES)

# Index of the request, position in its slate, column of the candidate.
_Position = tuple[int, int, int]


class Reasons:
    """The source's reason; that of an ExplainedSource names the item that caused it, if there is one: `covisited:<item id>`.

    Nothing is personal to a user without history: such an item has no reason. No item is the cause of itself, nor one that was deleted.
    """

    def __init__(self, executor: SourceExecutor) -> None:
        self._executor = executor
        self._explained = {number for number, name in enumerate(_NAMES) if name in executor.explained}

    def of(self, context: BatchContext, candidates: CandidateBatch, chosen: Sequence[SlateChoice]) -> list[list[str]]:
        """The reason of each position of each slate."""
        codes = np.where(candidates.filled, _FILLED, candidates.sources).tolist()
        reasons: list[list[str]] = []
        explained: dict[int, list[_Position]] = {}
        known = (context.batch.histories.rows != PADDING_ROW).any(axis=1).tolist()
        for index, choice in enumerate(chosen):
            slate_codes = [codes[index][column] for column in choice.columns]
            by_source = [_REASONS[code] for code in slate_codes]
            reasons.append([reason if known[index] or reason != PERSONAL else "" for reason in by_source])
            reasons[index][choice.ranked :] = [EXPLORATION] * (len(slate_codes) - choice.ranked)
            for position, code in enumerate(slate_codes[: choice.ranked]):
                if code in self._explained:
                    explained.setdefault(code, []).append((index, position, choice.columns[position]))
        for code, positions in explained.items():
            self._name_causes(context, candidates, code, positions, reasons)
        return reasons

    def _name_causes(
        self,
        context: BatchContext,
        candidates: CandidateBatch,
        code: int,
        positions: list[_Position],
        reasons: list[list[str]],
    ) -> None:
        indices, _, columns = np.array(positions).T
        last, rows = context.batch.histories.rows[indices, -LAST_ITEMS:], candidates.rows[indices, columns]
        gone = context.state.catalogue.are_gone(last, context.batch.scenarios[indices])
        others = np.where((last == rows[:, None]) | gone, PADDING_ROW, last)
        causes = self._executor.causes(_NAMES[code], context, others, rows)
        for (index, position, _), row in zip(positions, causes.tolist(), strict=True):
            if row:
                reasons[index][position] = f"{_ITEM_REASONS[code]}:{context.state.catalogue.ids[row]}"
