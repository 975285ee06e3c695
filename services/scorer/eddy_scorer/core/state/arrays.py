"""Array types of the scorer, and growing arrays."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
I32 = NDArray[np.int32]
Bool = NDArray[np.bool_]

A = TypeVar("A", bound=NDArray[Any])

# Initial capacity. The encoder's top-k needs at least this many rows, padding included.
FIRST_CAPACITY = 256


def grown(array: A, size: int, fill: Any = 0) -> A:
    """`array` if its last axis has at least `size` columns, else a copy of doubled capacity with new columns filled with `fill`."""
    capacity = array.shape[-1]
    if size <= capacity:
        return array
    while capacity < size:
        capacity *= 2
    bigger = np.full((*array.shape[:-1], capacity), fill, dtype=array.dtype)
    bigger[..., : array.shape[-1]] = array
    return bigger  # type: ignore[return-value]  # same dtype and rank as `array`


def grown_rows(array: A, size: int, fill: Any = 0) -> A:
    """Like `grown`, along the first axis of an array [rows, ...]."""
    if size <= len(array):
        return array
    return np.ascontiguousarray(np.moveaxis(grown(np.moveaxis(array, 0, -1), size, fill), -1, 0))  # type: ignore[return-value]  # the same


def first_where(rows: I64, mask: Bool, limit: int) -> I64:
    """The first `limit` entries of each row of `rows` [B, M] (or [M], shared by all) where `mask` [B, M] is True, padded with 0."""
    numbers = np.cumsum(mask, axis=1, dtype=np.int32)
    indices, columns = np.nonzero(mask & (numbers <= limit))
    first = np.zeros((len(mask), limit), np.int64)
    first[indices, numbers[indices, columns] - 1] = rows[columns] if rows.ndim == 1 else rows[indices, columns]
    return first
