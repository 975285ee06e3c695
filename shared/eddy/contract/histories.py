"""The order of a history: event time, ties in order of arrival; a run of one item is one interaction for each action.

The features service keeps histories by this rule, and the trainer its sequences: what is served is what was trained on.
"""

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from typing import NamedTuple

NONE = -1


class Placement(NamedTuple):
    """Where an interaction belongs: before `position`; it replaces the interaction `replaces` (NONE for none), which is before that."""

    position: int
    replaces: int


def place(
    at: int,
    item: Hashable,
    action: Hashable,
    times: Sequence[int],
    items: Sequence[Hashable],
    actions: Sequence[Hashable],
) -> Placement | None:
    """The place of an interaction in a history, given as columns, oldest first. None if its run already has a later one of its action.

    A run is a series of interactions with one item, without another item between them. It has one interaction for each action: the last.
    """
    position = bisect_right(times, at)
    for index in range(position, len(items)):
        if items[index] != item:
            break
        if actions[index] == action:
            return None
    for index in range(position - 1, -1, -1):
        if items[index] != item:
            break
        if actions[index] == action:
            return Placement(position, index)
    return Placement(position, NONE)
