"""The state of items, as columns by catalogue row."""

from dataclasses import dataclass

from eddy_scorer.core.state.catalogue import Catalogue
from eddy_scorer.core.state.counts import ItemCountTable
from eddy_scorer.core.state.covisits import CoVisits
from eddy_scorer.core.state.embedding_table import EmbeddingTable
from eddy_scorer.core.state.text_embeddings import TextEmbeddings


@dataclass(frozen=True, slots=True)
class ItemColumns:
    """The columns of all items. One thread writes them; others may read up to the number of rows that `ensure` returned."""

    catalogue: Catalogue
    counts: ItemCountTable
    covisits: CoVisits
    table: EmbeddingTable
    text_embeddings: TextEmbeddings

    def ensure(self) -> int:
        """Make room for all rows in every column, and return their number."""
        size = len(self.catalogue)
        self.counts.ensure(size)
        self.table.ensure(size)
        return size
