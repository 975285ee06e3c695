"""Array types of the scorer, and how its columns grow."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

A = TypeVar("A", bound=NDArray[Any])

# The encoder's top-k needs at least this many rows; most of them padding in an empty catalogue.
FIRST_CAPACITY = 256


def grown(array: A, size: int, fill: Any = 0) -> A:
    """`array` when its last axis holds `size` columns, else a copy of doubled capacity whose new columns hold `fill`."""
    capacity = array.shape[-1]
    if size <= capacity:
        return array
    while capacity < size:
        capacity *= 2
    bigger = np.full((*array.shape[:-1], capacity), fill, dtype=array.dtype)
    bigger[..., : array.shape[-1]] = array
    return bigger  # type: ignore[return-value]  # same dtype and rank as `array`


def grown_rows(array: A, size: int, fill: Any = 0) -> A:
    """As `grown`, for an array [rows, ...] that grows along its first axis."""
    if size <= len(array):
        return array
    return np.ascontiguousarray(np.moveaxis(grown(np.moveaxis(array, 0, -1), size, fill), -1, 0))  # type: ignore[return-value]  # the same


def first_of(rows: I64, wanted: Bool, limit: int) -> I64:
    """The first `limit` entries of each row of `rows` [B, M] (or [M], the same for all) that are `wanted` [B, M], padded with 0."""
    numbers = np.cumsum(wanted, axis=1, dtype=np.int32)
    indices, columns = np.nonzero(wanted & (numbers <= limit))
    first = np.zeros((len(wanted), limit), np.int64)
    first[indices, numbers[indices, columns] - 1] = rows[columns] if rows.ndim == 1 else rows[indices, columns]
    return first
