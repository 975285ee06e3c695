"""A user's own data: a folder of CSV or Parquet files, and a `mapping.yaml` that assigns their columns.

Only this module and `columns.py` use pyarrow.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as arrow
import pyarrow.compute as compute
import pyarrow.csv as csv
import pyarrow.parquet as parquet
import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from eddy.errors import ConfigError
from eddy_cli.datasets.columns import Convert, floats, unit_of, unix_times
from eddy_cli.datasets.dataset import CatalogueItem, Dataset, build

MAPPING = "mapping.yaml"
CATEGORY_SEPARATOR = "|"
# Rows without a user, an item or a usable time are skipped, up to this share of a file. More of them are no accident.
MAX_SKIPPED_SHARE = 0.05


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
    numbers: dict[str, Convert] = {mapping.time: unix_times}
    if mapping.value is not None:
        numbers[mapping.value] = floats
    value = () if mapping.value is None else (mapping.value,)
    events, notes = _read(folder, mapping.events, [mapping.user, mapping.item], numbers, may_be_empty=value)
    events, per_second, more_notes = _with_usable_times(folder / mapping.events, events, mapping.time)
    values = np.full(len(events), np.nan) if mapping.value is None else np.asarray(events[mapping.value])
    items, item_notes = _items(folder, mapping)
    item_ids = _strings(events, mapping.item)
    dataset = build(
        folder.resolve().name,
        _strings(events, mapping.user),
        item_ids,
        values.astype(np.float32),
        np.asarray(events[mapping.time]) / per_second,
        items,
        {},
    )
    return replace(dataset, notes=(*notes, *more_notes, *item_notes, *_without_properties(mapping, items, item_ids)))


def _with_usable_times(path: Path, events: arrow.Table, name: str) -> tuple[arrow.Table, float, list[str]]:
    """The rows with times from 1973 on, how many of their units make a second, and notes. Raises ConfigError if too few are usable."""
    times = np.asarray(events[name], np.float64)
    if not len(times):
        return events, 1.0, []
    unit = unit_of(times)
    if unit is None:
        raise ConfigError(
            f"{path}, column {name}: {np.median(times):g} and other times are in no unit since March 1973. Use Unix time in seconds, "
            "milliseconds, microseconds or nanoseconds, or ISO 8601."
        )
    usable = unit.fits(times)
    note = _skipped(path, name, int((~usable).sum()), len(times), f"times that are not in {unit.name} since March 1973")
    return (
        events.filter(arrow.array(usable)),
        unit.per_second,
        [f"{path}, column {name}: Unix times in {unit.name}", *note],
    )


def _without_properties(mapping: ColumnMapping, items: Sequence[CatalogueItem], item_ids: Sequence[str]) -> list[str]:
    """A note on events with items that the catalogue does not list."""
    listed = {item.item_id for item in items}
    missing = [item_id for item_id in item_ids if item_id not in listed]
    if mapping.items is None or not missing:
        return []
    return [
        f"{mapping.items} does not list {len(set(missing)):,} of {len(set(item_ids)):,} items, which {len(missing):,} of "
        f"{len(item_ids):,} events name (for example {missing[0][:100]!r}): they have no title and no categories"
    ]


def _skipped(path: Path, name: str, count: int, rows: int, what: str) -> list[str]:
    """A note on skipped rows. Raises ConfigError if they are more than MAX_SKIPPED_SHARE."""
    if not count:
        return []
    if count > MAX_SKIPPED_SHARE * rows:
        raise ConfigError(f"{path}, column {name}: {what} in {count} of {rows} rows. Correct or remove them.")
    return [f"{path}, column {name}: skipped {count:,} of {rows:,} rows with {what}"]


def _items(folder: Path, mapping: ColumnMapping) -> tuple[list[CatalogueItem], list[str]]:
    """The catalogue, and notes."""
    if mapping.items is None:
        return [], []
    item_id = mapping.item_id or mapping.item
    properties = [name for name in (mapping.title, mapping.categories) if name and name != item_id]
    table, notes = _read(folder, mapping.items, [item_id, *properties], {}, may_be_empty=properties)
    blank = [""] * len(table)
    titles = _strings(table, mapping.title) if mapping.title else blank
    categories = _strings(table, mapping.categories) if mapping.categories else blank
    rows = zip(_strings(table, item_id), titles, categories, strict=True)
    items = [
        CatalogueItem(name, title, genres=tuple(filter(None, map(str.strip, joined.split(CATEGORY_SEPARATOR)))))
        for name, title, joined in rows
    ]
    return items, notes


def _read(
    folder: Path, pattern: str, texts: list[str], numbers: dict[str, Convert], may_be_empty: Sequence[str] = ()
) -> tuple[arrow.Table, list[str]]:
    """The columns of all files: `texts` unchanged, `numbers` converted; and notes. Rows with an empty cell in a column outside
    `may_be_empty` are skipped."""
    columns = list(dict.fromkeys([*texts, *numbers]))
    options = csv.ConvertOptions(strings_can_be_null=True, column_types=dict.fromkeys(texts, arrow.string()))
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise ConfigError(
            f"{folder / MAPPING}: there is no {pattern} in {folder}. Name a file or a pattern that exists."
        )
    tables, notes = [], []
    for path in paths:
        try:
            table = (
                parquet.read_table(path) if path.suffix == ".parquet" else csv.read_csv(path, convert_options=options)
            )
        except (arrow.ArrowException, OSError) as error:
            raise ConfigError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
        _check_columns(path, table, columns)
        table = table.select(columns)
        for name, convert in numbers.items():
            table = table.set_column(table.column_names.index(name), name, convert(path, name, table[name]))
        table, skipped = _complete(path, table, [name for name in columns if name not in may_be_empty])
        notes += skipped
        tables.append(table)
    try:
        return arrow.concat_tables(tables, promote_options="permissive"), notes
    except arrow.ArrowException as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(f"the files {pattern} in {folder} have columns of different types: {problem}") from error


def _check_columns(path: Path, table: arrow.Table, columns: list[str]) -> None:
    missing = next((name for name in columns if name not in table.column_names), None)
    if missing:
        raise ConfigError(
            f"{path} has no column {missing}. Its columns: {', '.join(table.column_names)}. Correct {MAPPING}."
        )


def _complete(path: Path, table: arrow.Table, required: list[str]) -> tuple[arrow.Table, list[str]]:
    """The rows that have a cell in each of the `required` columns, and a note on each column for which rows are skipped."""
    rows, notes = len(table), []
    for name in required:
        column = table[name]
        filled = compute.is_valid(column)
        if arrow.types.is_string(column.type):
            filled = compute.and_(filled, compute.fill_null(compute.not_equal(column, ""), False))
        notes += _skipped(path, name, len(table) - int(compute.sum(filled).as_py() or 0), rows, "an empty cell")
        table = table.filter(filled)
    return table, notes


def _strings(table: arrow.Table, name: str) -> list[str]:
    return ["" if cell is None else str(cell) for cell in table[name].to_pylist()]
