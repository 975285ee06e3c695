"""The user's own data with a mapping: CSV and Parquet read alike, and errors name the problem."""

from pathlib import Path

import pyarrow as arrow
import pyarrow.parquet as parquet
import pytest

from eddy.errors import ConfigError
from eddy_cli.datasets import CatalogueItem, Dataset, load, read_folder

EVENTS = "customer,sku,stars,at\nanna,a1,5,2024-05-01T10:00:00\nben,b2,2,2024-05-01T09:00:00\nanna,b2,3,2024-05-02T00:00:00\n"
CATALOGUE = "sku,name,department\na1,Kettle,Kitchen | Gifts\nc3,Lamp,\n"
MAPPING = """\
events: orders.csv
user: customer
item: sku
time: at
value: stars
items: catalogue.csv
title: name
categories: department
"""


def shop(folder: Path, **files: str) -> Path:
    for name, text in {"mapping.yaml": MAPPING, "orders.csv": EVENTS, "catalogue.csv": CATALOGUE, **files}.items():
        (folder / name).write_text(text)
    return folder


def events_of(data: Dataset) -> list[tuple[str, str, float, int]]:
    columns = zip(data.users, data.items, data.values, data.times_ms, strict=True)
    return [(data.user_ids[u], data.item_ids[i], float(value), int(at)) for u, i, value, at in columns]


def test_folder_with_a_mapping_is_read(tmp_path: Path) -> None:
    data = read_folder(shop(tmp_path))
    assert events_of(data) == [
        ("ben", "b2", 2.0, 1_714_554_000_000),
        ("anna", "a1", 5.0, 1_714_557_600_000),
        ("anna", "b2", 3.0, 1_714_608_000_000),
    ]
    assert data.catalogue == (
        CatalogueItem("a1", "Kettle", None, ("Kitchen", "Gifts")),
        CatalogueItem("c3", "Lamp"),
        CatalogueItem("b2"),
    )


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns", "dates"])
def test_parquet_in_parts_reads_as_csv_does(tmp_path: Path, unit: str) -> None:
    (tmp_path / "csv").mkdir()
    (tmp_path / "parquet").mkdir()
    expected = read_folder(shop(tmp_path / "csv"))
    folder = shop(tmp_path / "parquet", **{"mapping.yaml": MAPPING.replace("orders.csv", "part-*.parquet")})
    ticks = {"s": 1, "ms": 1000, "us": 10**6, "ns": 10**9, "dates": 1000}[unit]
    for number, (user, item, value, at) in enumerate(events_of(expected)):
        column = arrow.array([at * ticks // 1000], arrow.timestamp("ms") if unit == "dates" else arrow.int64())
        table = arrow.table({"customer": [user], "sku": [item], "stars": [value], "at": column, "other": [1]})
        parquet.write_table(table, folder / f"part-{number}.parquet")
    assert events_of(read_folder(folder)) == events_of(expected)


def test_mapping_without_values_and_items_reads_events(tmp_path: Path) -> None:
    short = "events: orders.csv\nuser: customer\nitem: sku\ntime: at\n"
    data = read_folder(shop(tmp_path, **{"mapping.yaml": short}))
    assert set(data.values) == {3.0}
    assert set(data.catalogue) == {CatalogueItem("a1"), CatalogueItem("b2")}


def test_ids_stay_unchanged_and_values_may_be_missing(tmp_path: Path) -> None:
    """A number in one file and a word in the other, zeros in front, the id as the title, microseconds."""
    files = {
        "orders.csv": "customer,sku,stars,at\n01,007,,2024-05-01T10:00:00.123456\n2,7,4,2024-05-01T11:00:00.5\n",
        "catalogue.csv": "sku,department\n007,Films\nb-1,Books\n",
        "mapping.yaml": MAPPING.replace("title: name", "title: sku"),
    }
    data = read_folder(shop(tmp_path, **files))
    assert events_of(data) == [("01", "007", 3.0, 1_714_557_600_123), ("2", "7", 4.0, 1_714_561_200_500)]
    assert data.has_value is not None
    assert data.has_value.tolist() == [False, True]
    assert data.catalogue == (
        CatalogueItem("007", "007", None, ("Films",)),
        CatalogueItem("b-1", "b-1", None, ("Books",)),
        CatalogueItem("7"),
    )


def test_a_few_unusable_rows_are_skipped_and_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"u{number % 7},a1,5,{1_714_557_600_000_000 + number}" for number in range(200)]
    rows[3], rows[50], rows[120], rows[150] = (
        ",a1,5,1714557600000000",
        "u1,,5,1714557600000000",
        "u1,a1,5,",
        "u1,a1,5,0",
    )
    rows[199] = "u1,b9,4,1714557600000000"
    folder = shop(tmp_path, **{"orders.csv": "\n".join(["customer,sku,stars,at", *rows, ""])})
    data = load("", folder)
    assert len(data) == 196
    assert min(data.times_ms) == 1_714_557_600_000
    orders = folder / "orders.csv"
    assert list(data.notes) == [
        f"{orders}, column customer: skipped 1 of 200 rows with an empty cell",
        f"{orders}, column sku: skipped 1 of 200 rows with an empty cell",
        f"{orders}, column at: skipped 1 of 200 rows with an empty cell",
        f"{orders}, column at: Unix times in microseconds",
        f"{orders}, column at: skipped 1 of 197 rows with times that are not in microseconds between March 1973 and now",
        "catalogue.csv does not list 1 of 2 items, which 1 of 196 events name (for example 'b9'): they have no title and no categories",
    ]
    assert capsys.readouterr().err.splitlines() == list(data.notes)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            "u1,a1,5,yesterday",
            "column at: skipped 1 of 201 rows with a cell that is not a date (for example 'yesterday')",
        ),
        (
            "u1,a1,five,1714557600",
            "column stars: skipped 1 of 201 rows with a cell that is not a number (for example 'five')",
        ),
        ("u1,a1", "skipped 1 of 201 rows with another number of cells than the 4 of the header"),
        ("u1,a1,5,1714557600,x", "skipped 1 of 201 rows with another number of cells than the 4 of the header"),
        (
            'u1,"a1,5,1714557600',
            "skipped 1 of 201 rows with another number of cells than the 4 of the header, or an unclosed quote",
        ),
        ("u\xe9,a1,5,1714557600", "column customer: skipped 1 of 201 rows with a cell that is not UTF-8"),
        ("  ,a1,5,1714557600", "column customer: skipped 1 of 201 rows with an empty cell"),
    ],
)
def test_a_row_that_cannot_be_read_is_skipped_and_said(tmp_path: Path, row: str, says: str) -> None:
    """The rows around it are read, whatever is wrong with it, and so is a date among Unix times."""
    folder = shop(tmp_path)
    rows = [f"u{number % 7},a1,5,{1_714_557_600 + number}" for number in range(200)]
    text = "\n".join(["customer,sku,stars,at", *rows[:90], row, *rows[90:], ""])
    (folder / "orders.csv").write_bytes(text.encode("latin-1"))
    data = read_folder(folder)
    assert len(data) == 200
    assert [note.partition("orders.csv")[2] for note in data.notes if says in note]


def test_a_file_in_another_encoding_is_named(tmp_path: Path) -> None:
    folder = shop(tmp_path)
    (folder / "orders.csv").write_bytes(EVENTS.encode("utf-16"))
    with pytest.raises(ConfigError, match=r"orders.csv is not UTF-8\. Convert the file to UTF-8\."):
        read_folder(folder)


def test_files_with_different_columns_are_named(tmp_path: Path) -> None:
    folder = shop(tmp_path, **{"mapping.yaml": MAPPING.replace("orders.csv", "part-*.parquet")})
    for number, at in enumerate((1_714_557_600, "yesterday")):
        table = arrow.table({"customer": ["anna"], "sku": ["a1"], "stars": [1.0], "at": [at]})
        parquet.write_table(table, folder / f"part-{number}.parquet")
    with pytest.raises(
        ConfigError, match=r"part-1\.parquet, column at, row 1: 'yesterday' is not a date\. Use ISO 8601"
    ):
        read_folder(folder)


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"mapping.yaml": "events: orders.csv\n"}, "mapping.yaml: user: Field required"),
        ({"mapping.yaml": MAPPING + "colour: red\n"}, "mapping.yaml: colour: Extra inputs"),
        ({"mapping.yaml": "events: [\n"}, "mapping.yaml: "),
        ({"mapping.yaml": MAPPING.replace("orders", "sales")}, "there is no sales.csv"),
        (
            {"mapping.yaml": MAPPING.replace("customer", "client")},
            r"orders.csv has no column client\. Its columns: customer, sku",
        ),
        ({"orders.csv": EVENTS.replace("anna,a1", ",a1")}, "orders.csv, column customer: an empty cell in 1 of 3 rows"),
        (
            {"orders.csv": EVENTS.replace(",5,", ",many,")},
            r"orders.csv, column stars, row 1: 'many' is not a number\. Use a plain number",
        ),
        (
            {"orders.csv": "customer,sku,stars,at\nanna,a1,5,10:00:00\n"},
            r"orders.csv, column at, row 1: '10:00:00' is not a date\. Use ISO 8601",
        ),
        (
            {"orders.csv": "customer,sku,stars,at\nanna,a1,5,1714557600\nbert,b2,4,09.01.2026 04:31\n"},
            r"row 2: '09.01.2026 04:31' is not a date",
        ),
        (
            {"orders.csv": EVENTS.replace("2024-05-01T10:00:00", "")},
            "orders.csv, column at: an empty cell in 1 of 3 rows",
        ),
        ({"orders.csv": "customer,sku,stars,at\nanna,a1,5,17\n"}, "column at: 17 and other times are in no unit"),
        (
            {"orders.csv": "customer,sku,stars,at\nanna,a1,5,1714557600\nben,b2,4,1714557600000\n"},
            "column at: times that are not in seconds between March 1973 and now in 1 of 2 rows",
        ),
        ({"orders.csv": "customer,sku,stars,at\nanna\n"}, "another number of cells than the 4 of the header"),
        ({"orders.csv": EVENTS.replace("stars", "sku")}, "orders.csv has several columns sku"),
        (
            {"orders.csv": EVENTS.replace("2024", "2118")},
            "column at: 4.68.* and other times are in no unit between March 1973 and now",
        ),
        ({"orders.csv": "customer,sku,stars,at\n"}, "contains no events"),
    ],
)
def test_invalid_mapping_is_named(tmp_path: Path, files: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigError, match=says) as refused:
        read_folder(shop(tmp_path, **files))
    assert "\n" not in str(refused.value)
