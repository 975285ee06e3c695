"""Columns of arrays, by name: how the features and actions of one program become those of another.

Scorer, trainer, releases, checkpoints and records each name their columns. None of them relies on the order of another, so a feature or
an action can be added, renamed or taken away while the others run.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

ABSENT = -1


class NamedColumn(NamedTuple):
    """A ranking feature, or an action that has a head. `aliases` are its former names: what is written under them still counts."""

    name: str
    meaning: str
    aliases: tuple[str, ...] = ()


def names_of(declared: Iterable[NamedColumn]) -> tuple[str, ...]:
    """The names in use, in order."""
    return tuple(each.name for each in declared)


def aliases_of(declared: Iterable[NamedColumn]) -> dict[str, str]:
    """Former name -> name in use. Raises ValueError for a name that stands for two things."""
    declared = tuple(declared)
    names = [name for each in declared for name in (each.name, *each.aliases)]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise ValueError(f"declared twice: {', '.join(sorted(twice))}")
    return {alias: each.name for each in declared for alias in each.aliases}


def resolve(names: Iterable[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """The names, each as it is called now."""
    return tuple(aliases.get(name, name) for name in names)


def column_map(wanted: Sequence[str], given: Sequence[str], aliases: Mapping[str, str]) -> tuple[int, ...]:
    """For each wanted name the index of that name among the given ones, ABSENT where it is not there.

    Both sides may use former names. A name itself comes before another name of the same thing.
    """
    exact = {name: index for index, name in reversed(tuple(enumerate(given)))}
    current = {name: index for index, name in reversed(tuple(enumerate(resolve(given, aliases))))}
    return tuple(exact.get(name, current.get(aliases.get(name, name), ABSENT)) for name in wanted)


def take_columns(matrix: "NDArray[Any]", columns: Sequence[int], missing: float = float("nan")) -> "NDArray[Any]":
    """The columns [..., len(columns)] of a matrix [..., F] of floats; ABSENT ones are filled with `missing`."""
    import numpy as np  # here: joiner and gateway have no arrays, and start in a tenth less time without it

    if list(columns) == list(range(matrix.shape[-1])):
        return matrix
    index = np.array(columns, np.int64)
    if not matrix.shape[-1]:
        return np.full((*matrix.shape[:-1], len(index)), missing, matrix.dtype)
    taken: NDArray[Any] = np.take(matrix, np.maximum(index, 0), axis=-1)
    taken[..., index == ABSENT] = missing
    return taken
