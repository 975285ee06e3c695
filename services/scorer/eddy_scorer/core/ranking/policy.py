"""From a ranking to a slate: the best items first, then exploration slots."""

from collections.abc import Sequence
from dataclasses import dataclass

POLICY = "top_k_random_slot"


@dataclass(frozen=True, slots=True)
class SlateChoice:
    """A slate: candidate columns in order, and the propensity of each at its position, given the ranking.

    The first `ranked` positions follow the ranking, the others are random.
    """

    columns: list[int]
    propensities: list[float]
    ranked: int


def choose(
    ranking: Sequence[int],
    sampled: Sequence[int],
    pool: int,
    limit: int,
    random_slots: int,
    probability: float = 1.0,
    uniform: float = 0.0,
) -> SlateChoice:
    """Choose the top of `ranking`, then with `probability` the first of `sampled` outside that top for `random_slots` positions.

    `ranking` has candidate columns, best first. `sampled` are columns sampled uniformly, without replacement and independently of the
    ranking, from `pool` eligible items that include all of `ranking`; so each item outside the top has the same probability at each
    exploration slot. `uniform` is a uniform random number in [0, 1): the slate explores if it is below `probability`, else the ranking
    continues. A slate with one position never explores; a slate that the ranking cannot fill always does.
    """
    slots = min(random_slots, limit - 1) if sampled else 0
    top = list(ranking[: limit - slots])
    ranked_rest = list(ranking[len(top) : len(top) + slots])
    share = probability if len(ranked_rest) == slots else 1.0
    explored = slots > 0 and uniform < share
    last = [column for column in sampled if column not in top][:slots] if explored else ranked_rest
    random_share = share / max(pool - len(top), 1)
    ranked_shares = [
        1.0 - share if index < len(ranked_rest) and ranked_rest[index] == column else 0.0
        for index, column in enumerate(last)
    ]
    columns = top + last
    propensities = [1.0] * len(top) + [random_share + ranked_share for ranked_share in ranked_shares]
    return SlateChoice(columns, propensities, len(top) if explored else len(columns))
