"""Converts columns of numbers and times in a user's files. Errors name file, column and row."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import NDArray

from eddy.contract.limits import MIN_EVENT_MS
from eddy.errors import ConfigError

# Converts a column of a file. Raises ConfigError.
Convert = Callable[[Path, str, arrow.ChunkedArray], arrow.ChunkedArray]


def floats(path: Path, name: str, column: arrow.ChunkedArray) -> arrow.ChunkedArray:
    """Numbers, NaN for empty cells."""
    return compute.fill_null(_floats(path, name, column, "a number. Use a plain number such as 4.5."), float("nan"))


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """A unit of Unix times. Times from 1973 to 5138 in one unit are in no other."""

    name: str
    per_second: float

    def fits(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which times are from 1973 to 5138 in this unit."""
        lowest = MIN_EVENT_MS / 1e3 * self.per_second
        return (times >= lowest) & (times < 1e3 * lowest)


UNITS = (
    TimeUnit("seconds", 1.0),
    TimeUnit("milliseconds", 1e3),
    TimeUnit("microseconds", 1e6),
    TimeUnit("nanoseconds", 1e9),
)


def unit_of(times: NDArray[np.float64]) -> TimeUnit | None:
    """The unit that most of the times fit, None if less than half of them fit any."""
    unit = max(UNITS, key=lambda each: int(each.fits(times).sum()))
    return unit if 2 * int(unit.fits(times).sum()) >= len(times) else None


def unix_times(path: Path, name: str, column: arrow.ChunkedArray) -> arrow.ChunkedArray:
    """Unix times: dates and times in seconds, as UTC without a time zone; numbers unchanged."""
    expected = "a date. Use ISO 8601 (2026-01-09T04:31:00Z) or a Unix timestamp."
    if not arrow.types.is_temporal(column.type):
        return _floats(path, name, column, expected)
    try:
        milliseconds = compute.cast(column, arrow.timestamp("ms", "UTC"), safe=False)  # microseconds are cut off
    except arrow.ArrowException as error:
        raise _invalid_cell(path, name, column.to_pylist(), 0, expected) from error
    return compute.divide(compute.cast(compute.cast(milliseconds, arrow.int64()), arrow.float64()), 1e3)


def _floats(path: Path, name: str, column: arrow.ChunkedArray, expected: str) -> arrow.ChunkedArray:
    try:
        return compute.cast(column, arrow.float64(), safe=False)  # nanoseconds exceed the exact integers
    except arrow.ArrowException as error:
        cells = column.to_pylist()
        invalid = next((row for row, cell in enumerate(cells) if not _is_number(cell)), 0)
        raise _invalid_cell(path, name, cells, invalid, expected) from error


def _is_number(cell: Any) -> bool:
    try:
        float("nan" if cell is None else cell)
    except (TypeError, ValueError):
        return False
    return True


def _invalid_cell(path: Path, name: str, cells: list[Any], row: int, expected: str) -> ConfigError:
    """`row` counts from 0 here and from 1 in the message, without the header."""
    cell = "" if cells[row] is None else str(cells[row])
    return ConfigError(f"{path}, column {name}, row {row + 1}: {cell[:100]!r} is not {expected}")
