"""Columns of arrays by name, which map the features and actions of one program to those of another.

Scorer, trainer, releases, checkpoints and records name their columns. None depends on the order of another, so a feature or an action can
be added, renamed or removed while the others run.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

ABSENT = -1


class NamedColumn(NamedTuple):
    """A ranking feature, or an action with a head. `aliases` are its former names; data under these names is still read."""

    name: str
    meaning: str
    aliases: tuple[str, ...] = ()


def names_of(declared: Iterable[NamedColumn]) -> tuple[str, ...]:
    """The present names, in order."""
    return tuple(column.name for column in declared)


def aliases_of(declared: Iterable[NamedColumn]) -> dict[str, str]:
    """Present name by former name. Raises ValueError for a name that is declared twice."""
    declared = tuple(declared)
    names = [name for column in declared for name in (column.name, *column.aliases)]
    duplicates = {name for name in names if names.count(name) > 1}
    if duplicates:
        raise ValueError(f"declared twice: {', '.join(sorted(duplicates))}")
    return {alias: column.name for column in declared for alias in column.aliases}


def resolve(names: Iterable[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """The names, with former names replaced by present ones."""
    return tuple(aliases.get(name, name) for name in names)


def column_map(requested: Sequence[str], available: Sequence[str], aliases: Mapping[str, str]) -> tuple[int, ...]:
    """For each requested name its index among the available names; ABSENT for a missing one.

    Both sides may use former names. An equal name has precedence over another name of the same column.
    """
    exact = {name: index for index, name in reversed(tuple(enumerate(available)))}
    current = {name: index for index, name in reversed(tuple(enumerate(resolve(available, aliases))))}
    return tuple(exact.get(name, current.get(aliases.get(name, name), ABSENT)) for name in requested)


def take_columns(matrix: "NDArray[Any]", columns: Sequence[int], missing: float = float("nan")) -> "NDArray[Any]":
    """The columns [..., len(columns)] of a matrix of floats [..., F]; ABSENT columns are filled with `missing`."""
    import numpy as np  # here: joiner and gateway have no arrays, and start in a tenth less time without it

    if list(columns) == list(range(matrix.shape[-1])):
        return matrix
    index = np.array(columns, np.int64)
    if not matrix.shape[-1]:
        return np.full((*matrix.shape[:-1], len(index)), missing, matrix.dtype)
    taken: NDArray[Any] = np.take(matrix, np.maximum(index, 0), axis=-1)
    taken[..., index == ABSENT] = missing
    return taken
