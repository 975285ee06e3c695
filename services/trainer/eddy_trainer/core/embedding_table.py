"""Item vectors: a free embedding per item plus projections of its content and its text, normalised."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from eddy.contract.digests import digest_of
from eddy.contract.model import DIM, MAX_SCENARIOS, PADDING_ROW
from eddy.text import TEXT_DIM, TextVectors
from eddy.text_queue import NO_TEXT
from eddy_trainer.core.content import CONTENT_SLOTS, VOCABULARY, Vocabulary

FIRST_CAPACITY = 1024
INITIAL_SCALE = 0.02  # small compared with a step of Adam, so that the first gradients decide the direction
BETAS = (0.9, 0.98)
EPSILON = 1e-8
EVERYWHERE = (1 << MAX_SCENARIOS) - 1
MAX_DELETED = 100_000


@dataclass(frozen=True, slots=True)
class TableWeights:
    """A copy of the trained weights of a table: embeddings [rows, DIM] and both projections."""

    embedding: Tensor
    projection: Tensor
    text_projection: Tensor


class EmbeddingTable:
    """Item vectors by row; row 0 is padding. The capacity grows by doubling, and a new item gets the row of a deleted one, if there is one.

    Adam (Kingma and Ba 2015) updates single rows. Rows that a step does not use stay unchanged, which keeps large catalogues affordable and
    the number of rows to publish small. An item belongs to the scenarios that its description names and to those where it had interactions.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator
        self._row_of: dict[str, int] = {}
        self.ids: list[str] = [""]  # "" for padding and free rows
        self._free_rows: list[int] = []
        self._deleted: dict[bytes, None] = {}  # digests of the last MAX_DELETED deleted items, oldest first
        self.unpublished_deletions: dict[str, None] = {}  # deleted items that scorers may still know
        self.vocabulary = Vocabulary()
        self.projection = nn.Parameter(torch.randn(VOCABULARY, DIM, generator=generator) * INITIAL_SCALE)
        self.text_projection = nn.Parameter(torch.randn(TEXT_DIM, DIM, generator=generator) * INITIAL_SCALE)
        self._embedding = torch.zeros(0, DIM)
        self._moments = torch.zeros(2, 0, DIM)
        self._steps = torch.zeros(0)
        self._slots = torch.zeros(0, CONTENT_SLOTS, dtype=torch.int64)
        self._texts = torch.zeros(0, TEXT_DIM, dtype=torch.float16)
        self._text_digests = np.zeros(0, np.uint64)  # of the embedded texts
        self._any_text = False
        # One bit per scenario: those in the item's description, and those with interactions.
        self._described_in = np.zeros(0, np.int32)
        self._interacted_in = np.zeros(0, np.int32)
        self._grow(FIRST_CAPACITY)

    def __len__(self) -> int:
        """Number of rows, padding and free ones included."""
        return len(self.ids)

    def row(self, item_id: str) -> int:
        """Return the row of an item; an unknown item is added without content."""
        row = self._row_of.get(item_id)
        return self._admit(item_id) if row is None else row

    def unpublished(self) -> NDArray[np.int64]:
        """Return the rows of items that have no description."""
        rows = np.flatnonzero(self._described_in[: len(self)] == 0)
        return np.array([row for row in rows.tolist() if self.ids[row]], np.int64)

    def remove(self, item_ids: Sequence[str], *, may_return: bool = False) -> NDArray[np.int64]:
        """Delete items: free their rows, and return them. The owner must not refer to these rows any more.

        Unless they `may_return`, later events of the items are to be ignored until they are described again (`is_deleted`).
        """
        known = [item_id for item_id in item_ids if item_id in self._row_of]
        rows = [self._row_of.pop(item_id) for item_id in known]
        for digest in () if may_return else map(digest_of, item_ids):
            self._deleted.pop(digest, None)
            self._deleted[digest] = None
        while len(self._deleted) > MAX_DELETED:
            del self._deleted[next(iter(self._deleted))]
        # A former trainer may have published an item that this one never knew.
        self.unpublished_deletions.update(dict.fromkeys(known if may_return else item_ids))
        self._free_rows += rows
        for row in rows:
            self.ids[row] = ""
        for column in (self._embedding, self._steps, self._slots, self._texts):
            column[rows] = 0
        self._moments[:, rows] = 0
        for bits in (self._text_digests, self._described_in, self._interacted_in):
            bits[rows] = 0
        return np.array(rows, np.int64)

    def is_deleted(self, item_id: str) -> bool:
        """Whether the item was deleted and not published again since."""
        return bool(self._deleted) and digest_of(item_id) in self._deleted

    def rows(self, item_ids: Sequence[str]) -> list[int]:
        return [self.row(item_id) for item_id in item_ids]

    def describe(
        self,
        item_id: str,
        categories: Sequence[str],
        attributes: Mapping[str, str],
        scenarios: Iterable[int] | None = None,
    ) -> None:
        """Add or update an item with its content and its `scenarios` (None: all present and future ones)."""
        self._deleted.pop(digest_of(item_id), None)
        self.unpublished_deletions.pop(item_id, None)
        row = self.row(item_id)
        self._slots[row] = torch.tensor(self.vocabulary.slots(categories, attributes))
        self._described_in[row] = EVERYWHERE if scenarios is None else sum({1 << scenario for scenario in scenarios})

    def add_to_scenario(self, rows: Sequence[int] | NDArray[np.int64], scenario: int) -> None:
        """Add a scenario to the described scenarios of the items of `rows`."""
        self._described_in[rows] |= 1 << scenario

    def record_interactions(self, rows: Sequence[int] | NDArray[np.int64], scenario: int) -> None:
        """Record that the items of `rows` had interactions in a scenario: they belong to it whatever their descriptions say."""
        self._interacted_in[rows] |= 1 << scenario

    def rows_of_scenario(self, scenario: int) -> NDArray[np.int64]:
        """Return the rows of a scenario's items, ascending."""
        rows: NDArray[np.int64] = np.flatnonzero(
            (self._described_in | self._interacted_in)[: len(self)] >> scenario & 1
        )
        return rows

    def set_texts(self, item_ids: Sequence[str], vectors: TextVectors, digests: Sequence[int]) -> None:
        """Set the text vectors of items: unit vectors [n, TEXT_DIM], zero for an item without text, and the digests of the texts."""
        rows = self.rows(item_ids)
        self._texts[rows] = torch.from_numpy(vectors).half()
        self._text_digests[rows] = digests
        self._any_text |= len(item_ids) > 0

    def text_digest(self, item_id: str) -> int:
        """The digest of the item's embedded text; NO_TEXT if there is none."""
        return int(self._text_digests[self._row_of.get(item_id, PADDING_ROW)])

    def clear_text_vectors(self) -> None:
        """Drop all text vectors: those of two language models must not be mixed."""
        self._texts.zero_()
        self._text_digests[:] = NO_TEXT
        self._any_text = False

    def embedding(self, rows: Tensor) -> Tensor:
        """Return a copy of the embeddings of `rows` as a leaf that requires gradients."""
        return self._embedding[rows].requires_grad_()

    def filter_by_scenario(self, scenario: int, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return those of `rows` whose items belong to a scenario."""
        return rows[((self._described_in[rows] | self._interacted_in[rows]) >> scenario & 1) > 0]

    def vectors(self, rows: Tensor, embedding: Tensor) -> Tensor:
        """Return the final vectors [M, DIM] of `rows` given their embeddings; zero for padding."""
        slots = self._slots[rows]
        one_hot = torch.zeros(len(rows), VOCABULARY).scatter_(1, slots, 1.0)
        one_hot[:, 0] = 0
        weight = (slots > 0).sum(1, keepdim=True).clamp(min=1).float().rsqrt()
        content = (one_hot * weight) @ self.projection
        if self._any_text:
            content = content + self._texts[rows].float() @ self.text_projection
        vectors = functional.normalize(embedding + content, dim=-1)
        return vectors * (rows != PADDING_ROW)[:, None]

    @torch.no_grad()
    def all_vectors(self) -> Tensor:
        """Return the final vectors of all rows in use, [len, DIM]."""
        rows = torch.arange(len(self))
        return self.vectors(rows, self._embedding[rows])

    @torch.no_grad()
    def apply_gradient(self, rows: Tensor, gradient: Tensor, rate: float) -> None:
        """Make one step of Adam on distinct `rows`."""
        first = self._moments[0, rows].lerp_(gradient, 1 - BETAS[0])
        second = self._moments[1, rows].lerp_(gradient.square(), 1 - BETAS[1])
        steps = self._steps[rows] + 1
        self._moments[0, rows], self._moments[1, rows], self._steps[rows] = first, second, steps
        first = first / (1 - BETAS[0] ** steps)[:, None]
        second = second / (1 - BETAS[1] ** steps)[:, None]
        self._embedding[rows] -= rate * first / (second.sqrt() + EPSILON)

    def weights(self) -> TableWeights:
        """Return a copy of the trained weights."""
        projections = (each.detach().clone() for each in (self.projection, self.text_projection))
        return TableWeights(self._embedding[: len(self)].clone(), *projections)

    @torch.no_grad()
    def reset_to(self, weights: TableWeights, item_ids: Sequence[str]) -> None:
        """Take the weights of a copy whose rows had the items `item_ids`. Rows of other items keep theirs; all moments start anew."""
        same = [row for row, item_id in enumerate(item_ids) if item_id and self.ids[row] == item_id]
        self._embedding[same] = weights.embedding[same]
        self.projection.copy_(weights.projection)
        self.text_projection.copy_(weights.text_projection)
        self._moments.zero_()
        self._steps.zero_()

    def state(self) -> dict[str, object]:
        """Return everything that a checkpoint needs. Keys are part of the checkpoint format."""
        used = slice(0, len(self))
        return {
            "ids": self.ids,
            "deletions": {
                "digests": [digest.hex() for digest in self._deleted],
                "unpublished": list(self.unpublished_deletions),
            },
            "vocabulary": self.vocabulary.names,
            "projection": self.projection.data,
            "text_projection": self.text_projection.data,
            "texts": self._texts[used] if self._any_text else None,
            "text_digests": self._text_digests[used].view(np.int64) if self._any_text else None,
            "embedding": self._embedding[used],
            "moments": self._moments[:, used],
            "steps": self._steps[used],
            "slots": self._slots[used],
            "described": self._described_in[used],
            "acted": self._interacted_in[used],
        }

    def restore(self, state: Mapping[str, object]) -> None:
        """Restore from the result of `state`."""
        self.ids = list(state["ids"])  # type: ignore[call-overload]  # a checkpoint is read back untyped
        self._row_of = {item_id: row for row, item_id in enumerate(self.ids) if item_id}
        self._free_rows = [row for row, item_id in enumerate(self.ids) if row and not item_id]
        deletions: Any = state.get("deletions")
        if deletions is None:  # a former version kept the ids
            former: Any = state.get("deleted", ((), ()))
            deleted, unpublished = former
            deletions = {"digests": [digest_of(item_id).hex() for item_id in deleted], "unpublished": unpublished}
        self._deleted = dict.fromkeys(map(bytes.fromhex, deletions["digests"]))
        self.unpublished_deletions = dict.fromkeys(deletions["unpublished"])
        self.vocabulary = Vocabulary(state["vocabulary"])  # type: ignore[arg-type]
        while len(self.ids) > len(self._steps):
            self._grow(2 * len(self._steps))
        used = slice(0, len(self.ids))
        self.projection.data.copy_(state["projection"])  # type: ignore[arg-type]
        self.text_projection.data.copy_(state["text_projection"])  # type: ignore[arg-type]
        self._any_text = state["texts"] is not None
        if self._any_text:
            self._texts[used] = state["texts"]  # type: ignore[assignment]
            # Without digests, as in checkpoints of former versions, each text is embedded once more when its item is read again.
            digests = state.get("text_digests")
            self._text_digests[used] = 0 if digests is None else np.asarray(digests, np.int64).view(np.uint64)
        self._embedding[used] = state["embedding"]  # type: ignore[assignment]
        self._moments[:, used] = state["moments"]  # type: ignore[assignment]
        self._steps[used] = state["steps"]  # type: ignore[assignment]
        self._slots[used] = state["slots"]  # type: ignore[assignment]
        self._described_in[used] = state["described"]  # type: ignore[call-overload]
        self._interacted_in[used] = state["acted"]  # type: ignore[call-overload]

    def _admit(self, item_id: str) -> int:
        row = self._free_rows.pop() if self._free_rows else len(self.ids)
        if row == len(self._steps):
            self._grow(2 * row)
        if row == len(self.ids):
            self.ids.append(item_id)
        self.ids[row] = item_id
        self._row_of[item_id] = row
        self.unpublished_deletions.pop(item_id, None)
        self._embedding[row] = torch.randn(DIM, generator=self._generator) * INITIAL_SCALE
        return row

    def _grow(self, capacity: int) -> None:
        more = capacity - len(self._steps)
        self._embedding = torch.cat([self._embedding, torch.zeros(more, DIM)])
        self._moments = torch.cat([self._moments, torch.zeros(2, more, DIM)], dim=1)
        self._steps = torch.cat([self._steps, torch.zeros(more)])
        self._slots = torch.cat([self._slots, torch.zeros(more, CONTENT_SLOTS, dtype=torch.int64)])
        self._texts = torch.cat([self._texts, torch.zeros(more, TEXT_DIM, dtype=torch.float16)])
        self._text_digests = np.concatenate([self._text_digests, np.zeros(more, np.uint64)])
        self._described_in = np.concatenate([self._described_in, np.zeros(more, np.int32)])
        self._interacted_in = np.concatenate([self._interacted_in, np.zeros(more, np.int32)])
