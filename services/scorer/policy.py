"""From a ranking to a list: the best first, the last places to chance."""

from collections.abc import Sequence
from dataclasses import dataclass

POLICY = "top_k_random_slot"


@dataclass(frozen=True, slots=True)
class Place:
    """A place of the list: the candidate's column, and the probability that the policy puts it here given the ranking."""

    candidate: int
    propensity: float
    explored: bool


def choose(ranking: Sequence[int], draws: Sequence[int], pool: int, limit: int, random_slots: int) -> list[Place]:
    """Top of `ranking`, then `random_slots` places for the first of `draws` that are not in that top.

    `ranking` holds candidate columns, best first. `draws` are columns in an order drawn uniformly, without replacement and without
    regard to the ranking, from `pool` eligible items that include all of `ranking`: so each item outside the top has the same chance
    at each random place. Places before them are certain. A list of one place is not given to chance.
    """
    slots = min(random_slots, limit - 1) if draws else 0
    top = ranking[: limit - slots]
    listed = set(top)
    explored = [column for column in draws if column not in listed][:slots]
    chance = 1.0 / max(pool - len(top), 1)
    return [Place(column, 1.0, False) for column in top] + [Place(column, chance, True) for column in explored]
