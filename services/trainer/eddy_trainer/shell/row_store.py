"""A state of nested dictionaries in an SQLite file, written row by row: a write costs what has changed since the former one.

Arrays, tensors and lists of strings with many rows are divided into their rows; those that lie side by side in one dictionary with an equal
number of rows share them. Everything else is one document. A transaction replaces them together, so that a killed process leaves either the
former state or this one. Deleted and replaced content is overwritten (`secure_delete`), so that the file forgets what the state has
forgotten.
"""

import hashlib
import io
import sqlite3
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

# Arrays with fewer rows are part of the document.
MIN_ROWS = 64
DIGEST_BYTES = 8
_COMPRESSION = 1  # most of a row is empty: the rest is hardly compressible
BLOCK_ROWS = 256  # that are in memory at once while they are written
_STORED = "__rows__"
_TABLES = """
CREATE TABLE IF NOT EXISTS document (id INTEGER PRIMARY KEY, digest BLOB, content BLOB);
CREATE TABLE IF NOT EXISTS digests (rows TEXT PRIMARY KEY, content BLOB);
CREATE TABLE IF NOT EXISTS contents (rows TEXT, number INTEGER, content BLOB, PRIMARY KEY (rows, number));
"""

Row = bytes
Column = NDArray[Any] | list[str]


class DamagedError(Exception):
    """The file is not a complete store of this kind."""


def write(path: Path, state: dict[str, Any]) -> int:
    """Replace the state in the file, which is created if it does not exist; returns the number of rows that have changed."""
    groups: dict[str, list[Column]] = {}
    document = _divide(state, "", groups)
    payload = io.BytesIO()
    torch.save(document, payload)
    with _connection(path) as connection:
        connection.executescript(_TABLES)
        with connection:  # a transaction
            changed = sum(_write_rows(connection, name, columns) for name, columns in groups.items())
            for (name,) in connection.execute("SELECT rows FROM digests").fetchall():
                if name not in groups:
                    changed += _write_rows(connection, name, [])
            content = payload.getvalue()
            connection.execute(
                "INSERT OR REPLACE INTO document VALUES (0, ?, ?)", (hashlib.sha256(content).digest(), content)
            )
    return changed


def read(path: Path) -> dict[str, Any]:
    """The state in the file. Raises DamagedError."""
    try:
        with _connection(path) as connection:
            (digest, content) = connection.execute("SELECT digest, content FROM document").fetchone() or (b"", b"")
            if hashlib.sha256(content).digest() != digest:
                raise DamagedError("the document is damaged or missing")
            document = torch.load(io.BytesIO(content), weights_only=True)
            state: dict[str, Any] = _join(document, connection)
            return state
    except sqlite3.Error as error:
        raise DamagedError(str(error)) from error


@contextmanager
def _connection(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA secure_delete = ON")
        connection.execute("PRAGMA synchronous = FULL")
        yield connection


def _write_rows(connection: sqlite3.Connection, name: str, columns: list[Column]) -> int:
    former = _digests_of(connection, name) or b""
    count = len(columns[0]) if columns else 0
    digests, changed = bytearray(), 0
    for start in range(0, count, BLOCK_ROWS):
        rows = _rows([column[start : start + BLOCK_ROWS] for column in columns])
        replaced = []
        for number, row in enumerate(rows, start):
            digest = _digest(row)
            digests += digest
            if digest != former[DIGEST_BYTES * number : DIGEST_BYTES * (number + 1)]:
                replaced.append((name, number, zlib.compress(row, _COMPRESSION)))
        connection.executemany("INSERT OR REPLACE INTO contents VALUES (?, ?, ?)", replaced)
        changed += len(replaced)
    connection.execute("DELETE FROM contents WHERE rows = ? AND number >= ?", (name, count))
    if not count:
        connection.execute("DELETE FROM digests WHERE rows = ?", (name,))
    elif digests != former:
        connection.execute("INSERT OR REPLACE INTO digests VALUES (?, ?)", (name, bytes(digests)))
    return changed


def _read_rows(connection: sqlite3.Connection, name: str, count: int) -> list[Row]:
    digests = _digests_of(connection, name)
    stored = connection.execute("SELECT content FROM contents WHERE rows = ? ORDER BY number", (name,))
    try:
        rows = [zlib.decompress(content) for (content,) in stored]
    except zlib.error as error:
        raise DamagedError(str(error)) from error
    if len(rows) != count or b"".join(map(_digest, rows)) != digests:
        raise DamagedError(f"the rows of {name} are damaged")
    return rows


def _digests_of(connection: sqlite3.Connection, name: str) -> bytes | None:
    """The stored digests of the rows of this name, None if there are none."""
    stored = connection.execute("SELECT content FROM digests WHERE rows = ?", (name,)).fetchone()
    return None if stored is None else bytes(stored[0])


def _digest(row: Row) -> bytes:
    return hashlib.blake2b(row, digest_size=DIGEST_BYTES).digest()


def _divide(value: Any, path: str, groups: dict[str, list[Column]]) -> Any:
    """The value with its rows moved into `groups`, by column, and arrays as tensors, which torch loads with `weights_only`."""
    if isinstance(value, dict):
        divided: dict[Any, Any] = {}
        columns: dict[str, list[Column]] = {}
        names: dict[int, str] = {}  # of the rows of arrays, by their number
        for key, entry in value.items():
            array, axis = _rows_of(entry)
            if array is None:
                divided[key] = _divide(entry, f"{path}/{key}", groups)
            else:
                name = f"{path}/{key}"
                if isinstance(array, np.ndarray):
                    name = names.setdefault(len(array), name)
                columns.setdefault(name, []).append(array)
                kind = _description(entry, array)
                divided[key] = {_STORED: name, "count": len(array), "kind": kind, "axis": axis}
        groups.update(columns)
        return divided
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, list | tuple):
        return type(value)(_divide(entry, f"{path}/{number}", groups) for number, entry in enumerate(value))
    return value


def _rows_of(value: Any) -> tuple[Column | None, int]:
    """The value as an array or list of rows, and the axis of the rows; None if it is to be a part of the document."""
    if isinstance(value, list) and len(value) >= MIN_ROWS and all(isinstance(text, str) for text in value):
        return value, 0
    if not isinstance(value, np.ndarray | torch.Tensor):
        return None, 0
    array = value.detach().numpy() if isinstance(value, torch.Tensor) else value
    if not array.size:
        return None, 0  # rows without bytes could not be told apart
    if array.ndim and len(array) >= MIN_ROWS:
        return array, 0
    if array.ndim > 1 and array.shape[1] >= MIN_ROWS and len(array) < MIN_ROWS // 8:
        return np.moveaxis(array, 1, 0), 1
    return None, 0


def _description(value: Any, array: Column) -> tuple[str, list[int]]:
    return ("text", []) if isinstance(value, list) else (array.dtype.str, list(array.shape[1:]))  # type: ignore[union-attr]


def _rows(columns: list[Column]) -> list[Row]:
    if isinstance(columns[0], list):
        return [text.encode(errors="surrogatepass") for text in columns[0]]
    packed = [
        np.ascontiguousarray(column).reshape(len(column), -1).view(np.uint8)
        for column in columns
        if isinstance(column, np.ndarray)
    ]
    content = np.concatenate(packed, axis=1)
    width, joined = content.shape[1], content.tobytes()
    return [joined[start : start + width] for start in range(0, len(joined), width)]


def _join(value: Any, connection: sqlite3.Connection) -> Any:
    """The inverse of `_divide`; arrays come back as tensors."""
    if isinstance(value, dict):
        joined: dict[Any, Any] = {}
        taken: dict[str, int] = {}  # bytes of entry row that belong to former arrays
        contents: dict[str, list[Row]] = {}
        for key, entry in value.items():
            if not (isinstance(entry, dict) and _STORED in entry):
                joined[key] = _join(entry, connection)
                continue
            name, (kind, shape) = entry[_STORED], entry["kind"]
            if name not in contents:
                contents[name] = _read_rows(connection, name, entry["count"])
            if kind == "text":
                joined[key] = [row.decode(errors="surrogatepass") for row in contents[name]]
                continue
            flat = np.frombuffer(b"".join(contents[name]), np.uint8).reshape(entry["count"], -1)
            start, dtype = taken.get(name, 0), np.dtype(kind)
            taken[name] = start + dtype.itemsize * int(np.prod(shape, dtype=np.int64))
            column = np.ascontiguousarray(flat[:, start : taken[name]]).view(dtype).reshape(entry["count"], *shape)
            joined[key] = torch.from_numpy(np.ascontiguousarray(np.moveaxis(column, 0, entry["axis"])).copy())
        return joined
    if isinstance(value, list | tuple):
        return type(value)(_join(entry, connection) for entry in value)
    return value
