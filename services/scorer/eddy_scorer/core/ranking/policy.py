"""From a ranking to a slate: the best first, the last positions sometimes explore."""

from collections.abc import Sequence
from dataclasses import dataclass

POLICY = "top_k_random_slot"


@dataclass(frozen=True, slots=True)
class SlateChoice:
    """A slate: candidate columns in order, and the probability that the policy puts each at its position, given the ranking.

    The first `ranked` positions follow the ranking, the others were drawn.
    """

    columns: list[int]
    propensities: list[float]
    ranked: int


def choose(
    ranking: Sequence[int],
    draws: Sequence[int],
    pool: int,
    limit: int,
    random_slots: int,
    probability: float = 1.0,
    coin: float = 0.0,
) -> SlateChoice:
    """Top of `ranking`, then, with `probability`, `random_slots` positions for the first of `draws` that are not in that top.

    `ranking` holds candidate columns, best first. `draws` are columns in an order drawn uniformly, without replacement and without
    regard to the ranking, from `pool` eligible items that include all of `ranking`: so each item outside the top has the same
    probability at each of those positions. `coin` is drawn uniformly from [0, 1): below `probability` the draws are taken, else the
    ranking goes on. A slate of one position never explores, and one that the ranking cannot fill always takes the draws.
    """
    slots = min(random_slots, limit - 1) if draws else 0
    top = list(ranking[: limit - slots])
    usual = list(ranking[len(top) : len(top) + slots])
    share = probability if len(usual) == slots else 1.0
    explored = slots > 0 and coin < share
    last = [column for column in draws if column not in top][:slots] if explored else usual
    each = share / max(pool - len(top), 1)
    stays = [1.0 - share if index < len(usual) and usual[index] == column else 0.0 for index, column in enumerate(last)]
    columns = top + last
    propensities = [1.0] * len(top) + [each + stay for stay in stays]
    return SlateChoice(columns, propensities, len(top) if explored else len(columns))
