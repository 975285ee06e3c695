"""The contract between the trainer that exports the model and the scorer that runs it.

A model is a table of item embeddings and two ONNX graphs. The table is an input of the graphs, so that changing an embedding is a row
assignment. Row 0 is padding: a zero vector with bias PADDING_BIAS, never recommended. So are unused rows.

`encode` maps histories to user vectors and their best items:
    table [N, DIM] f32, bias [N] f32       the item rows; score of an item = user vector . row + bias
    history [B, HISTORY] i64               rows of the last interactions, oldest first, padded on the left with 0
    actions [B, HISTORY] i64               1 + index into the release's actions, 0 for padding and for an action without a head
    values [B, HISTORY] f32                normalised value of each interaction, 0..1
    gaps [B, HISTORY] f32                  seconds from each interaction to the next one; for the last, to the request
    scenarios [B] i64                      scenario id
    excluded [B, S] i64                    rows to leave out of the top (seen items), padded with 0
 -> users [B, DIM] f32, top_scores [B, TOP_K] f32, top_rows [B, TOP_K] i64

`rank` maps the features of candidates to scores and predictions:
    features [B, C, F] f32                 one column per feature of the release; NaN for a missing value
    scenarios [B] i64
 -> scores [B, C] f32                      scores to rank by (list-wise logits)
    predictions [B, C, A] f32              probability of each action of the release, for the item at the first position

All batch sizes (B), candidate counts (C), table sizes (N) and excluded counts (S) are dynamic. Features (F) and actions (A) are those of
the release (`Columns`), looked up by name. `hash_of_contract`, the hash of everything else, is in every release.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from eddy.contract.actions import ACTIONS as ACTIONS
from eddy.contract.features import FEATURES as FEATURES
from eddy.contract.legacy import LEGACY_ACTIONS, LEGACY_CONTRACT, LEGACY_FEATURES

DIM = 64
HISTORY = 50
TOP_K = 100
OPSET = 18
MAX_SCENARIOS = 16
PADDING_ROW = 0
PADDING_BIAS = -1e9
PARITY_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Columns:
    """The features that a model reads and the actions that it predicts, in the order of its tensors."""

    features: tuple[str, ...] = FEATURES
    actions: tuple[str, ...] = ACTIONS

    @staticmethod
    def of(features: Iterable[str], actions: Iterable[str]) -> "Columns":
        """The columns named in a record; without names, those of the last contract by position."""
        return Columns(tuple(features) or LEGACY_FEATURES, tuple(actions) or LEGACY_ACTIONS)


CURRENT_COLUMNS = Columns()


def is_compatible(contract: str) -> bool:
    """Whether graphs and checkpoints of that contract are usable."""
    return contract in (hash_of_contract(), LEGACY_CONTRACT)


_Signature = dict[str, dict[str, list[str | int]]]

_ENCODE: _Signature = {
    "inputs": {
        "table": ["N", DIM],
        "bias": ["N"],
        "history": ["B", HISTORY],
        "actions": ["B", HISTORY],
        "values": ["B", HISTORY],
        "gaps": ["B", HISTORY],
        "scenarios": ["B"],
        "excluded": ["B", "S"],
    },
    "outputs": {"users": ["B", DIM], "top_scores": ["B", TOP_K], "top_rows": ["B", TOP_K]},
}
_RANK: _Signature = {
    "inputs": {"features": ["B", "C", "F"], "scenarios": ["B"]},
    "outputs": {"scores": ["B", "C"], "predictions": ["B", "C", "A"]},
}

ENCODE_INPUTS = tuple(_ENCODE["inputs"])
ENCODE_OUTPUTS = tuple(_ENCODE["outputs"])
RANK_INPUTS = tuple(_RANK["inputs"])
RANK_OUTPUTS = tuple(_RANK["outputs"])


def hash_of_contract() -> str:
    """SHA-256 (16 hexadecimal digits) of what trainer and scorer must agree on: names and shapes of the tensors, opset, scenarios.

    The features and actions of a model are not part of it, because they are looked up by name.
    """
    document = {"encode": _ENCODE, "rank": _RANK, "opset": OPSET, "scenarios": MAX_SCENARIOS}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
