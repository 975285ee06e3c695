"""A user's own data: a folder of CSV or Parquet files, and a `mapping.yaml` that assigns their columns.

Only this module and `columns.py` use pyarrow.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.csv as csv
import pyarrow.parquet as parquet
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from eddy.errors import ConfigError
from eddy_cli.datasets.columns import Convert, floats, seconds
from eddy_cli.datasets.dataset import CatalogueItem, Dataset, build

MAPPING = "mapping.yaml"
CATEGORY_SEPARATOR = "|"
MIN_MILLISECONDS = 1e11  # larger times are in milliseconds; as seconds it is the year 5138


class ColumnMapping(BaseModel):
    """The keys of `mapping.yaml`: files (or patterns) below the folder, and column names."""

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
    """Read a folder with a mapping. Raises ConfigError, one line with file, column, what is wrong and what is expected."""
    path = folder / MAPPING
    try:
        mapping = ColumnMapping.model_validate(yaml.safe_load(path.read_text()))
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {str(error).splitlines()[0]}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise ConfigError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    numbers: dict[str, Convert] = {mapping.time: seconds}
    if mapping.value is not None:
        numbers[mapping.value] = floats
    value = () if mapping.value is None else (mapping.value,)
    events = _read(folder, mapping.events, [mapping.user, mapping.item], numbers, may_be_empty=value)
    values = np.full(len(events), np.nan) if mapping.value is None else np.asarray(events[mapping.value])
    times = np.asarray(events[mapping.time])
    return build(
        folder.resolve().name,
        _strings(events, mapping.user),
        _strings(events, mapping.item),
        values.astype(np.float32),
        times / 1000 if len(times) and np.median(times) > MIN_MILLISECONDS else times,
        _items(folder, mapping),
        {},
    )


def _items(folder: Path, mapping: ColumnMapping) -> list[CatalogueItem]:
    if mapping.items is None:
        return []
    item_id = mapping.item_id or mapping.item
    properties = [name for name in (mapping.title, mapping.categories) if name and name != item_id]
    table = _read(folder, mapping.items, [item_id, *properties], {}, may_be_empty=properties)
    blank = [""] * len(table)
    titles = _strings(table, mapping.title) if mapping.title else blank
    categories = _strings(table, mapping.categories) if mapping.categories else blank
    rows = zip(_strings(table, item_id), titles, categories, strict=True)
    return [
        CatalogueItem(name, title, genres=tuple(filter(None, map(str.strip, joined.split(CATEGORY_SEPARATOR)))))
        for name, title, joined in rows
    ]


def _read(
    folder: Path, pattern: str, texts: list[str], numbers: dict[str, Convert], may_be_empty: Sequence[str] = ()
) -> arrow.Table:
    """The columns of all files: `texts` unchanged, `numbers` converted. Only columns of `may_be_empty` may have empty cells."""
    columns = list(dict.fromkeys([*texts, *numbers]))
    options = csv.ConvertOptions(strings_can_be_null=True, column_types=dict.fromkeys(texts, arrow.string()))
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise ConfigError(
            f"{folder / MAPPING}: there is no {pattern} in {folder}. Name a file or a pattern that exists."
        )
    tables = []
    for path in paths:
        try:
            table = (
                parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path, convert_options=options)
            )
        except (arrow.ArrowException, OSError) as error:
            raise ConfigError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
        _check(path, table, columns, may_be_empty)
        table = table.select(columns)
        for name, convert in numbers.items():
            table = table.set_column(table.column_names.index(name), name, convert(path, name, table[name]))
        tables.append(table)
    try:
        return arrow.concat_tables(tables, promote_options="permissive")
    except arrow.ArrowException as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(f"the files {pattern} in {folder} have columns of different types: {problem}") from error


def _check(path: Path, table: arrow.Table, columns: list[str], may_be_empty: Sequence[str]) -> None:
    missing = next((name for name in columns if name not in table.column_names), None)
    if missing:
        raise ConfigError(
            f"{path} has no column {missing}. Its columns: {', '.join(table.column_names)}. Correct {MAPPING}."
        )
    empty = next((name for name in columns if table[name].null_count and name not in may_be_empty), None)
    if empty:
        raise ConfigError(
            f"{path}, column {empty}: empty in {table[empty].null_count} of {len(table)} rows. Every row needs it."
        )


def _strings(table: arrow.Table, name: str) -> list[str]:
    return ["" if cell is None else str(cell) for cell in table[name].to_pylist()]
