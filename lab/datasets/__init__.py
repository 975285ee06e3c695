"""Behaviour data as typed arrays: MovieLens fetched by `make data`, or what a folder or file holds."""

from lab.datasets.dataset import Dataset, Item
from lab.datasets.read import load, read_folder
from lab.datasets.sources import SOURCES

__all__ = ["SOURCES", "Dataset", "Item", "load", "read_folder"]
