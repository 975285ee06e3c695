"""Data sets as typed arrays: MovieLens downloaded by `make data`, or a folder or file of the user."""

from eddy_cli.datasets.dataset import CatalogueItem, Dataset
from eddy_cli.datasets.read import load, read_folder
from eddy_cli.datasets.sources import SOURCES

__all__ = ["SOURCES", "CatalogueItem", "Dataset", "load", "read_folder"]
