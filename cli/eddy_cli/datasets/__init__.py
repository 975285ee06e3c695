"""Behaviour data as typed arrays: MovieLens fetched by `make data`, or what a folder or file holds."""

from eddy_cli.datasets.dataset import CatalogueItem, Dataset
from eddy_cli.datasets.read import load, read_folder
from eddy_cli.datasets.sources import SOURCES

__all__ = ["SOURCES", "CatalogueItem", "Dataset", "load", "read_folder"]
