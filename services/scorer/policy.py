"""From a ranking to a list: the best first, the last places to chance."""

from collections.abc import Sequence
from dataclasses import dataclass

POLICY = "top_k_random_slot"


@dataclass(frozen=True, slots=True)
class Choice:
    """A list: candidate columns in order. The first `certain` places are given by the ranking, each other column has probability
    `chance` of its place.
    """

    columns: list[int]
    certain: int
    chance: float

    def propensities(self) -> list[float]:
        """Probability that the policy puts each item at its place, given the ranking."""
        return [1.0] * self.certain + [self.chance] * (len(self.columns) - self.certain)


def choose(ranking: Sequence[int], draws: Sequence[int], pool: int, limit: int, random_slots: int) -> Choice:
    """Top of `ranking`, then `random_slots` places for the first of `draws` that are not in that top.

    `ranking` holds candidate columns, best first. `draws` are columns in an order drawn uniformly, without replacement and without
    regard to the ranking, from `pool` eligible items that include all of `ranking`: so each item outside the top has the same chance
    at each random place. A list of one place is not given to chance.
    """
    slots = min(random_slots, limit - 1) if draws else 0
    top = list(ranking[: limit - slots])
    explored = [column for column in draws if column not in top][:slots]
    return Choice(top + explored, len(top), 1.0 / max(pool - len(top), 1))
