"""MovieLens as typed arrays: fetched by `make data`, or from a folder as GroupLens publishes it."""

from lab.datasets.dataset import Dataset, Item
from lab.datasets.read import load, read_folder
from lab.datasets.sources import SOURCES

__all__ = ["SOURCES", "Dataset", "Item", "load", "read_folder"]
