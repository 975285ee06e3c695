"""Supported layouts of published data sets: MovieLens by RecBole (atomic files) and by GroupLens, and networks of KONECT."""

import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from eddy_cli.datasets.dataset import CatalogueItem

Events = tuple[Sequence[str], Sequence[str], NDArray[np.float32], NDArray[np.float64]]
"""User ids, item ids, ratings (NaN: missing) and times in seconds, in the order of the file."""

# The order of the flags in u.item (u.genre in the archive).
_U_GENRES = (
    *(
        "unknown",
        "Action",
        "Adventure",
        "Animation",
        "Children's",
        "Comedy",
        "Crime",
        "Documentary",
        "Drama",
        "Fantasy",
    ),
    *("Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
)
_TITLE_AND_YEAR = re.compile(r"(?P<title>.*?)\s*\((?P<year>\d{4})\)\s*$")
_ML_1M_PREFIX = "1m_"


@dataclass(frozen=True)
class Layout:
    """`marker` is the pattern of the file of events, which identifies the layout of a folder."""

    marker: str
    events: Callable[[Path], Events]
    items: Callable[[Path], Sequence[CatalogueItem]]
    ages: Callable[[Path], Mapping[str, int]]


def split_title(text: str) -> tuple[str, int | None]:
    """ "Toy Story (1995)" is the title "Toy Story" of the year 1995."""
    match = _TITLE_AND_YEAR.match(text)
    return (match["title"], int(match["year"])) if match else (text.strip(), None)


def _numbers(path: Path, delimiter: str | None, columns: tuple[int, int, int, int], header: int = 0) -> Events:
    table = np.loadtxt(path, np.float64, delimiter=delimiter, usecols=columns, skiprows=header, ndmin=2, comments="%")
    users, items = ([str(number) for number in table[:, column].astype(np.int64).tolist()] for column in (0, 1))
    return users, items, table[:, 2].astype(np.float32), table[:, 3]


def _rows(path: Path, encoding: str, delimiter: str) -> Iterator[list[str]]:
    """Lines split at `delimiter`; none for a missing file."""
    if not path.exists():
        return
    with path.open(encoding=encoding) as lines:
        for line in lines:
            yield line.rstrip("\r\n").split(delimiter)


# ML-100K of GroupLens: tabs and bars, latin-1.


def _u_items(folder: Path) -> list[CatalogueItem]:
    return [_u_item(row) for row in _rows(folder / "u.item", "latin-1", "|")]


def _u_item(row: list[str]) -> CatalogueItem:
    title, year = split_title(row[1])
    genres = tuple(genre for genre, flag in zip(_U_GENRES, row[5:24], strict=True) if flag == "1")
    return CatalogueItem(row[0], title, year, genres)


# ML-1M and ML-10M of GroupLens: two colons. loadtxt splits at one character, so every other column is empty.


def _dat_items(folder: Path) -> list[CatalogueItem]:
    rows = _rows(folder / "movies.dat", _dat_encoding(folder / "movies.dat"), "::")
    return [CatalogueItem(row[0], *split_title(row[1]), genres=_genres(row[2])) for row in rows]


def _dat_encoding(path: Path) -> str:
    """ML-1M is latin-1, ML-10M is UTF-8."""
    try:
        path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    except FileNotFoundError:
        pass
    return "utf-8"


# ML-20M and later of GroupLens: CSV with a header.


def _csv_items(folder: Path) -> list[CatalogueItem]:
    path = folder / "movies.csv"
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as lines:
        rows = csv.DictReader(lines)
        return [
            CatalogueItem(row["movieId"], *split_title(row["title"]), genres=_genres(row["genres"])) for row in rows
        ]


def _genres(text: str) -> tuple[str, ...]:
    return () if text == "(no genres listed)" else tuple(filter(None, text.split("|")))


# RecBole's atomic files: tabs, a header of name:type, genres split by blanks. In its ML-1M the titles stand for item ids.


def _atomic_events(folder: Path) -> Events:
    rows = _rows(next(folder.glob("*.inter")), "utf-8", "\t")
    next(rows, None)
    users, items, ratings, times = zip(*rows, strict=True)
    index_ids = _atomic_item_ids(folder)
    return (
        [user.removeprefix(_ML_1M_PREFIX) for user in users],
        [index_ids.get(item, item) for item in items],
        np.array(ratings, np.float32),
        np.array(times, np.float64),
    )


def _atomic_items(folder: Path) -> list[CatalogueItem]:
    index_ids = _atomic_item_ids(folder)
    return [
        CatalogueItem(index_ids[row[0]], row[1], int(row[2]) if row[2].isdigit() else None, tuple(row[3].split()))
        for row in _atomic_table(folder, "*.item")
    ]


def _atomic_item_ids(folder: Path) -> dict[str, str]:
    """Item ids by the ids in the files: numbers stay; a title becomes the line number of the item in its file, from 1."""
    ids = [row[0] for row in _atomic_table(folder, "*.item")]
    return {item: item if item.isdigit() else str(number) for number, item in enumerate(ids, 1)}


def _atomic_ages(folder: Path) -> dict[str, int]:
    return {row[0].removeprefix(_ML_1M_PREFIX): int(row[1]) for row in _atomic_table(folder, "*.user")}


def _atomic_table(folder: Path, pattern: str) -> Iterator[list[str]]:
    for path in folder.glob(pattern):
        rows = _rows(path, "utf-8", "\t")
        next(rows, None)
        yield from rows


# Networks of KONECT (Kunegis 2013): from, to, weight and seconds, separated by blanks; comments after a percent sign.


def _konect_events(folder: Path) -> Events:
    users, items, weights, times = _numbers(next(folder.glob("out.*")), None, (0, 1, 2, 3))
    # In a network without weights all weights are 1.
    return users, items, weights if (weights != 1).any() else np.full_like(weights, np.nan), times


LAYOUTS = (
    Layout("*.inter", _atomic_events, _atomic_items, _atomic_ages),
    Layout(
        "u.data",
        lambda folder: _numbers(folder / "u.data", "\t", (0, 1, 2, 3)),
        _u_items,
        lambda folder: {row[0]: int(row[1]) for row in _rows(folder / "u.user", "latin-1", "|")},
    ),
    Layout(
        "ratings.dat",
        lambda folder: _numbers(folder / "ratings.dat", ":", (0, 2, 4, 6)),
        _dat_items,
        lambda folder: {row[0]: int(row[2]) for row in _rows(folder / "users.dat", "latin-1", "::")},
    ),
    Layout(
        "ratings.csv", lambda folder: _numbers(folder / "ratings.csv", ",", (0, 1, 2, 3), 1), _csv_items, lambda _: {}
    ),
    Layout("out.*", _konect_events, lambda _: [], lambda _: {}),
)
