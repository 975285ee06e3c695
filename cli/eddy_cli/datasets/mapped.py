"""A user's own data: a folder of CSV or Parquet files, and a `mapping.yaml` that assigns their columns.

Only this module and `columns.py` use pyarrow.
"""

import io
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
from eddy_cli.datasets.columns import NUMBERS, TEXTS, TIMES, Conversion, unit_of
from eddy_cli.datasets.dataset import CatalogueItem, Dataset, build

MAPPING = "mapping.yaml"
CATEGORY_SEPARATOR = "|"
# Rows that cannot be read, or without a user, an item or a usable time, are skipped, up to this share of a file. More of them are no
# accident.
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
    numbers = {mapping.time: TIMES}
    if mapping.value is not None:
        numbers[mapping.value] = NUMBERS
    value = () if mapping.value is None else (mapping.value,)
    events, notes = _read(folder, mapping.events, [mapping.user, mapping.item], numbers, may_be_empty=value)
    events, per_second, more_notes = _with_usable_times(folder / mapping.events, events, mapping.time)
    values = np.full(len(events), np.nan) if mapping.value is None else np.asarray(events[mapping.value], np.float64)
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
            f"{path}, column {name}: {np.median(times):g} and other times are in no unit between March 1973 and now. Use Unix time "
            "in seconds, milliseconds, microseconds or nanoseconds, or ISO 8601."
        )
    usable = unit.fits(times)
    note = _skipped(
        path, name, int((~usable).sum()), len(times), f"times that are not in {unit.name} between March 1973 and now"
    )
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


def _skipped(path: Path, name: str | None, count: int, rows: int, what: str) -> list[str]:
    """A note on skipped rows. Raises ConfigError if they are more than MAX_SKIPPED_SHARE."""
    if not count:
        return []
    where = path if name is None else f"{path}, column {name}"
    if count > MAX_SKIPPED_SHARE * rows:
        raise ConfigError(f"{where}: {what} in {count} of {rows} rows. Correct or remove them.")
    return [f"{where}: skipped {count:,} of {rows:,} rows with {what}"]


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
    folder: Path, pattern: str, texts: list[str], numbers: dict[str, Conversion], may_be_empty: Sequence[str] = ()
) -> tuple[arrow.Table, list[str]]:
    """The columns of all files: `texts` unchanged, `numbers` converted; and notes. Rows with an unusable cell, or an empty one in a column
    outside `may_be_empty`, are skipped."""
    conversions = dict.fromkeys(texts, TEXTS) | numbers
    columns = list(conversions)
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise ConfigError(
            f"{folder / MAPPING}: there is no {pattern} in {folder}. Name a file or a pattern that exists."
        )
    tables, notes = [], []
    for path in paths:
        table, skipped = _table(path, texts)
        notes += skipped
        _check_columns(path, table, columns)
        table = table.select(columns)
        for name, conversion in conversions.items():
            table, skipped = _converted(path, table, name, conversion)
            notes += skipped
        table, skipped = _complete(path, table, [name for name in columns if name not in may_be_empty])
        notes += skipped
        tables.append(table)
    try:
        return arrow.concat_tables(tables, promote_options="permissive"), notes
    except arrow.ArrowException as error:
        problem = str(error).splitlines()[0]
        raise ConfigError(f"the files {pattern} in {folder} have columns of different types: {problem}") from error


def _table(path: Path, texts: list[str]) -> tuple[arrow.Table, list[str]]:
    """The rows of a file, `texts` as they are, and a note on rows that are skipped because their cells do not match the header."""
    try:
        if path.suffix == ".parquet":
            return parquet.read_table(path), []
        table, unreadable = _read_csv(path, texts)
        names = table.column_names
        for text in unreadable:
            _, _, swallowed = text.partition("\n")  # by a quote that is not closed
            if swallowed:
                more, further = _read_csv(io.BytesIO(swallowed.encode()), texts, names)
                table = arrow.concat_tables([table, more], promote_options="permissive")
                unreadable += further
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8. {TEXTS.advice}") from error
    except (arrow.ArrowException, OSError) as error:
        raise ConfigError(f"cannot read {path}: {str(error).splitlines()[0]}") from error
    if not unreadable:
        return table, []
    example = unreadable[0].partition("\n")[0][:100]
    what = (
        f"another number of cells than the {len(names)} of the header, or an unclosed quote (for example {example!r})"
    )
    return table, _skipped(path, None, len(unreadable), len(table) + len(unreadable), what)


def _read_csv(
    source: Path | io.BytesIO, texts: list[str], names: list[str] | None = None
) -> tuple[arrow.Table, list[str]]:
    """The rows of CSV, and the texts of those that cannot be read. Without `names`, the first row is the header."""
    unreadable: list[str] = []

    def skip(row: csv.InvalidRow) -> str:
        unreadable.append(row.text)
        return "skip"

    table = csv.read_csv(
        source,
        read_options=csv.ReadOptions(column_names=names),
        parse_options=csv.ParseOptions(invalid_row_handler=skip),
        convert_options=csv.ConvertOptions(strings_can_be_null=True, column_types=dict.fromkeys(texts, arrow.binary())),
    )
    return table, unreadable


def _converted(path: Path, table: arrow.Table, name: str, conversion: Conversion) -> tuple[arrow.Table, list[str]]:
    """The table with a converted column, without the rows in which it has an unusable cell, and a note on them."""
    former, rows = table[name], len(table)
    column = conversion.convert(former)
    unusable = compute.and_(compute.is_valid(former), compute.is_null(column))
    table = table.set_column(table.column_names.index(name), name, column)
    count = int(compute.sum(unusable).as_py() or 0)
    if not count:
        return table, []
    row = int(np.flatnonzero(np.asarray(unusable))[0])
    cell = f"{str(former[row].as_py())[:100]!r}"
    if count > MAX_SKIPPED_SHARE * rows:
        raise ConfigError(
            f"{path}, column {name}, row {row + 1}: {cell} is not {conversion.expected}. {conversion.advice}"
        )
    what = f"a cell that is not {conversion.expected} (for example {cell})"
    return table.filter(compute.invert(unusable)), _skipped(path, name, count, rows, what)


def _check_columns(path: Path, table: arrow.Table, columns: list[str]) -> None:
    repeated = next((name for name in columns if table.column_names.count(name) > 1), None)
    if repeated:
        raise ConfigError(f"{path} has several columns {repeated}. Rename all but one of them.")
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
            filled = compute.and_(
                filled, compute.fill_null(compute.not_equal(compute.utf8_trim_whitespace(column), ""), False)
            )
        notes += _skipped(path, name, len(table) - int(compute.sum(filled).as_py() or 0), rows, "an empty cell")
        table = table.filter(filled)
    return table, notes


def _strings(table: arrow.Table, name: str) -> list[str]:
    return ["" if cell is None else str(cell) for cell in table[name].to_pylist()]
