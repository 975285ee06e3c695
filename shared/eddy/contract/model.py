"""The contract between the trainer that exports the model and the scorer that runs it.

A model is a table of item rows and two ONNX graphs. The table lives outside the graphs (it is a bound input), so that a changed
row is a row assignment. Row 0 is padding: a zero vector with bias PADDING_BIAS, never recommended; so are rows not in use.

`encode` reads histories and answers users and their best items:
    table [N, DIM] f32, bias [N] f32       the item rows; score of an item = user vector . row + bias
    history [B, HISTORY] i64               rows of the last interactions, oldest first, padded on the left with 0
    actions [B, HISTORY] i64               1 + index into ACTIONS, 0 for padding
    values [B, HISTORY] f32                normalised value of each interaction, 0..1
    gaps [B, HISTORY] f32                  seconds from each interaction to the next one; for the last, to the request
    scenarios [B] i64                      scenario id
    excluded [B, S] i64                    rows that must not be among the top (seen items), padded with 0
 -> users [B, DIM] f32, top_scores [B, TOP_K] f32, top_rows [B, TOP_K] i64

`rank` reads the features of considered candidates and answers how good each is:
    features [B, C, len(FEATURES)] f32, scenarios [B] i64
 -> scores [B, C] f32                      the order to rank by (list-wise logits)
    predictions [B, C, len(ACTIONS)] f32   probability of each action were the item shown in the first place

All batch sizes (B), candidate counts (C), table sizes (N) and excluded counts (S) are dynamic. `hash_of_contract` is in every release.
"""

import hashlib
import json

from eddy.contract.sources import FLAGGED

DIM = 64
HISTORY = 50
TOP_K = 100
OPSET = 18
MAX_SCENARIOS = 16
PADDING_ROW = 0
PADDING_BIAS = -1e9
PARITY_TOLERANCE = 1e-4

# One head each. The order is part of the contract; new actions go to the end.
ACTIONS = (
    "click",
    "view",
    "play",
    "like",
    "rate",
    "comment",
    "share",
    "add_to_cart",
    "purchase",
    "follow",
    "save",
    "complete",
)

# Ranking features of a candidate, computed by the scorer at serving time and logged with the list. A "rank" is log1p of the place
# among the considered candidates by that score, best first; a "share" is smoothed to stay finite for an item without counts.
FEATURES = (
    "encoder_score",  # user vector . item row + bias; 0 without a model
    "encoder_rank",
    "covisit_score",  # log1p of the symmetric decayed co-visitation with the last 20 items, popularity normalised
    "covisit_rank",
    "transition_last_1",  # log odds, smoothed, that the item follows the very last item
    "transition_last_5",  # the same over the last five, decayed by place
    "transition_rank",
    "popularity",  # log1p of slow decayed actions in the scenario
    "popularity_rank",
    "trend",  # log1p of fast decayed actions in the scenario
    "trend_rank",
    "velocity",  # log ratio of fast to slow counts
    "click_share",  # smoothed clicks per impression, log odds
    "shown",  # log1p of decayed impressions in the scenario
    "total",  # log1p of actions ever, all scenarios
    "item_age",  # log1p of days since the item was first acted on or published
    "is_new",  # 1 when nobody has acted on it
    "content_match",  # cosine of the item's categories with those of the history
    "last_content_match",  # the same with the last item alone
    "history_length",  # log1p of interactions in history
    "history_gap",  # log1p of seconds since the last interaction
    "history_value",  # mean normalised value of the history
    "last_value",  # normalised value of the last interaction
    "item_value",  # mean of the opinions (normalised values) on the item, all scenarios, drawn towards the usual one
    "user_level",  # mean of the user's opinions less what others think of each item, drawn towards 0
    "user_spread",  # standard deviation of the opinions, less the level, drawn towards a quarter
    "like_what_others_like",  # slope of the opinions by the items' mean values, times how far this item's is from the usual one
    "like_what_others_know",  # slope of the opinions by the items' log counts, times how far this item's is from the history's mean
    "opinion_of_categories",  # opinions on the history, less the level, weighed by likeness of categories
    "opinion_of_neighbours",  # the same, by likeness of item rows
    *(f"from_{name}" for name in FLAGGED),  # 1 when the source brought the candidate
    "has_model",  # 1 when a release served the list
)

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
    "inputs": {"features": ["B", "C", len(FEATURES)], "scenarios": ["B"]},
    "outputs": {"scores": ["B", "C"], "predictions": ["B", "C", len(ACTIONS)]},
}

ENCODE_INPUTS = tuple(_ENCODE["inputs"])
ENCODE_OUTPUTS = tuple(_ENCODE["outputs"])
RANK_INPUTS = tuple(_RANK["inputs"])
RANK_OUTPUTS = tuple(_RANK["outputs"])


def hash_of_contract() -> str:
    """SHA-256 (16 hexadecimal digits) over names, shapes, heads, features and opset: equal where trainer and scorer agree."""
    document = {
        "encode": _ENCODE,
        "rank": _RANK,
        "actions": ACTIONS,
        "features": FEATURES,
        "opset": OPSET,
        "scenarios": MAX_SCENARIOS,
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]


def sign_release(version: int, contract: str, encode: bytes, rank: bytes) -> str:
    """SHA-256 (hexadecimal) over the version in decimal, the contract's hash and both graphs: tells a release that arrived whole."""
    digest = hashlib.sha256(f"{version}{contract}".encode())
    digest.update(encode)
    digest.update(rank)
    return digest.hexdigest()
