"""Converts columns of texts, numbers and times in a user's files. A cell that cannot be converted becomes null."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
from numpy.typing import NDArray

from eddy.contract.limits import MAX_AHEAD_MS, MIN_EVENT_MS


@dataclass(frozen=True, slots=True)
class Conversion:
    """Converts a column. A cell that is not what is `expected` becomes null, as an empty one; `advice` tells what to write."""

    convert: Callable[[arrow.ChunkedArray], arrow.ChunkedArray]
    expected: str
    advice: str


@dataclass(frozen=True, slots=True)
class TimeUnit:
    """A unit of Unix times. Times from 1973 to now in one unit are in no other."""

    name: str
    per_second: float

    def fits(self, times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which times are from 1973 to tomorrow in this unit."""
        milliseconds = times / self.per_second * 1e3
        return (milliseconds >= MIN_EVENT_MS) & (milliseconds <= time.time() * 1e3 + MAX_AHEAD_MS)


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


def _texts(column: arrow.ChunkedArray) -> arrow.ChunkedArray:
    """Bytes as UTF-8."""
    if not arrow.types.is_binary(column.type):
        return column
    try:
        return compute.cast(column, arrow.string())
    except arrow.ArrowInvalid:
        return arrow.chunked_array([arrow.array([_decoded(cell) for cell in column.to_pylist()], arrow.string())])


def _floats(column: arrow.ChunkedArray) -> arrow.ChunkedArray:
    try:
        return compute.cast(column, arrow.float64(), safe=False)  # nanoseconds exceed the exact integers
    except arrow.ArrowException:
        return _each(column, _number)


def _unix_times(column: arrow.ChunkedArray) -> arrow.ChunkedArray:
    """Unix times: dates and times in seconds, as UTC without a time zone; numbers unchanged. Of both, the more frequent."""
    if arrow.types.is_temporal(column.type):
        try:
            milliseconds = compute.cast(column, arrow.timestamp("ms", "UTC"), safe=False)  # microseconds are cut off
        except arrow.ArrowException:  # times of day
            return arrow.chunked_array([arrow.nulls(len(column), arrow.float64())])
        return compute.divide(compute.cast(compute.cast(milliseconds, arrow.int64()), arrow.float64()), 1e3)
    numbers = _floats(column)
    if not numbers.null_count - column.null_count:
        return numbers
    dates = _each(column, _date)
    return dates if dates.null_count < numbers.null_count else numbers


def _each(column: arrow.ChunkedArray, convert: Callable[[Any], float | None]) -> arrow.ChunkedArray:
    return arrow.chunked_array([arrow.array([convert(cell) for cell in column.to_pylist()], arrow.float64())])


def _decoded(cell: bytes | None) -> str | None:
    try:
        return None if cell is None else cell.decode()
    except UnicodeDecodeError:
        return None


def _number(cell: Any) -> float | None:
    try:
        return None if cell is None else float(cell)
    except (TypeError, ValueError):
        return None


def _date(cell: Any) -> float | None:
    try:
        date = datetime.fromisoformat(cell)
    except (TypeError, ValueError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()


TEXTS = Conversion(_texts, "UTF-8", "Convert the file to UTF-8.")
NUMBERS = Conversion(_floats, "a number", "Use a plain number such as 4.5.")
TIMES = Conversion(_unix_times, "a date", "Use ISO 8601 (2026-01-09T04:31:00Z) or a Unix timestamp.")
