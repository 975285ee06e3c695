"""Reads data sets in any supported layout."""

import sys
from pathlib import Path

from eddy.errors import ConfigError
from eddy_cli.datasets.dataset import Dataset, build
from eddy_cli.datasets.layouts import LAYOUTS, Layout
from eddy_cli.datasets.mapped import MAPPING, read_mapped
from eddy_cli.datasets.sequences import SEQUENCES, read_sequences
from eddy_cli.datasets.sources import SOURCES


def load(name: str, path: Path | None = None) -> Dataset:
    """The data set `name` as downloaded by `make data`; with `path`, the data in that folder or file instead, whose notes are printed.

    Raises ConfigError, one line, for a missing or unreadable data set.
    """
    if path is not None:
        dataset = read_folder(path)
        for note in dataset.notes:
            print(note, file=sys.stderr)
        return dataset
    if name not in SOURCES:
        raise ConfigError(
            f"there is no data set {name}: choose one of {', '.join(SOURCES)}, or give a folder by --data"
        )
    if not SOURCES[name].path.is_dir():
        raise ConfigError(f"{name} is not in {SOURCES[name].path.parent} yet: `eddy data {name}` downloads it")
    return read_folder(SOURCES[name].path, name)


def read_folder(path: Path, name: str = "") -> Dataset:
    """Read a folder, the folder of a file of events, or a file of sequences. Raises ConfigError."""
    if path.suffix == SEQUENCES and path.is_file():
        return read_sequences(path)
    folder = path.parent if path.is_file() else path
    if (folder / MAPPING).is_file():
        return _not_empty(read_mapped(folder), folder)
    layout = _layout(folder)
    try:
        users, items, values, times_sec = layout.events(folder)
        dataset = build(
            name or folder.resolve().name, users, items, values, times_sec, layout.items(folder), layout.ages(folder)
        )
    except (ValueError, IndexError, KeyError) as error:
        raise ConfigError(
            f"{folder / layout.marker} does not have the published format ({error}). For your own data, add a {MAPPING}."
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot read {error.filename}: {error.strerror}") from error
    return _not_empty(dataset, folder)


def _not_empty(dataset: Dataset, folder: Path) -> Dataset:
    if not len(dataset):
        raise ConfigError(f"{folder} contains no events")
    return dataset


def _layout(folder: Path) -> Layout:
    if not folder.is_dir():
        raise ConfigError(f"there is no folder {folder}. Name the folder that the archive unpacks to.")
    for layout in LAYOUTS:
        if any(folder.glob(layout.marker)):
            return layout
    markers = ", ".join(layout.marker for layout in LAYOUTS)
    raise ConfigError(
        f"{folder} contains none of {markers}. For your own data, add a {MAPPING} (docs/bring-your-own-data.md)."
    )
