"""Torch on one thread, and graphs traced once for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from services.trainer.graphs import GraphExporter


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def traced_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with traced graphs, for workers that should not spend their first seconds on it."""
    folder = tmp_path_factory.mktemp("traced")
    GraphExporter.cached(folder)
    return folder


@pytest.fixture(scope="session")
def exporter(traced_folder: Path) -> GraphExporter:
    return GraphExporter.cached(traced_folder)
