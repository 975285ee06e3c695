"""Data of one's own: a folder of CSV or Parquet files, and a `mapping.yaml` that says which column is what.

This is the one place that touches pyarrow.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
import pyarrow.csv as csv
import pyarrow.parquet as parquet
import yaml
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from eddy.errors import ConfigError
from eddy_cli.datasets.dataset import Dataset, Item, build

MAPPING = "mapping.yaml"
BETWEEN = "|"
MILLISECONDS_FROM = 1e11  # as seconds that would be the year 5138


class Mapping(BaseModel):
    """What `mapping.yaml` may say: files (or patterns) below the folder, and names of columns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    events: str
    user: str
    item: str
    time: str
    value: str | None = None
    items: str | None = None
    item_id: str | None = None
    title: str | None = None
    categories: str | None = None


def read_mapped(folder: Path) -> Dataset:
    """Read such a folder. Raises ConfigError, one line, that names the file and what is wrong with it."""
    path = folder / MAPPING
    try:
        mapping = Mapping.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    value = [mapping.value] if mapping.value else []
    events = _read(folder, mapping.events, [mapping.user, mapping.item], [mapping.time, *value], may_be_empty=value)
    values = np.full(len(events), np.nan, np.float32) if mapping.value is None else _numbers(events, mapping.value)
    return build(
        folder.resolve().name,
        _words(events, mapping.user),
        _words(events, mapping.item),
        values.astype(np.float32),
        _seconds(events, mapping.time),
        _items(folder, mapping),
        {},
    )


def _items(folder: Path, mapping: Mapping) -> list[Item]:
    if mapping.items is None:
        return []
    item_id = mapping.item_id or mapping.item
    told = [name for name in (mapping.title, mapping.categories) if name and name != item_id]
    table = _read(folder, mapping.items, [item_id, *told], [], may_be_empty=told)
    nothing = [""] * len(table)
    titles = _words(table, mapping.title) if mapping.title else nothing
    categories = _words(table, mapping.categories) if mapping.categories else nothing
    found = zip(_words(table, item_id), titles, categories, strict=True)
    return [
        Item(name, title, genres=tuple(filter(None, map(str.strip, said.split(BETWEEN)))))
        for name, title, said in found
    ]


def _read(
    folder: Path, pattern: str, words: list[str], others: list[str], may_be_empty: Sequence[str] = ()
) -> arrow.Table:
    """The columns of all files: `words` as they are written, `others` as what they look like; nowhere empty but in those that may be."""
    columns = list(dict.fromkeys([*words, *others]))
    written = csv.ConvertOptions(strings_can_be_null=True, column_types=dict.fromkeys(words, arrow.string()))
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise ConfigError(f"{folder / MAPPING}: there is no {pattern} in {folder}")
    tables = []
    for path in paths:
        try:
            table = (
                parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path, convert_options=written)
            )
        except (arrow.ArrowException, OSError) as error:
            raise ConfigError(f"cannot read {path}: {_line(error)}") from error
        missing = next((name for name in columns if name not in table.column_names), None)
        if missing:
            raise ConfigError(f"{path} has no column {missing}: it has {', '.join(table.column_names)}")
        empty = next((name for name in columns if table[name].null_count and name not in may_be_empty), None)
        if empty:
            raise ConfigError(f"{path}: {empty} is empty in {table[empty].null_count} of {len(table)} rows")
        tables.append(table.select(columns))
    try:
        return arrow.concat_tables(tables, promote_options="permissive")
    except arrow.ArrowException as error:
        raise ConfigError(f"the files {pattern} in {folder} do not hold the same: {_line(error)}") from error


def _line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _words(table: arrow.Table, name: str) -> list[str]:
    return ["" if one is None else str(one) for one in table[name].to_pylist()]


def _numbers(table: arrow.Table, name: str) -> NDArray[np.float64]:
    """NaN where there is none."""
    try:
        return np.asarray(compute.cast(table[name], arrow.float64()), np.float64)
    except arrow.ArrowException as error:
        raise ConfigError(f"{name} holds what is no number: {_line(error)}") from error


def _seconds(table: arrow.Table, name: str) -> NDArray[np.float64]:
    """Seconds since the epoch, from those, from milliseconds, or from dates and times (UTC where they do not say)."""
    column = table[name]
    if arrow.types.is_temporal(column.type):
        try:
            fine = compute.cast(column, arrow.timestamp("ms", "UTC"), safe=False)  # microseconds are cut off
        except arrow.ArrowException as error:
            raise ConfigError(f"{name} holds no moments of time: {_line(error)}") from error
        return np.asarray(compute.cast(fine, arrow.int64()), np.float64) / 1e3
    numbers = _numbers(table, name)
    return numbers / 1000 if len(numbers) and np.median(numbers) > MILLISECONDS_FROM else numbers
