"""PyTorch on one thread, and graphs that are traced once for all tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from eddy.contract.model import Columns
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.settings import TrainerSettings


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def traced_folder() -> Path:
    """Return the folder with traced graphs, so that no trainer has to trace them."""
    folder: Path = TrainerSettings.model_fields["trainer_graphs_dir"].default
    GraphExporter.cached(folder, DEFAULT_MODEL, Columns())
    return folder


@pytest.fixture(scope="session")
def exporter(traced_folder: Path) -> GraphExporter:
    return GraphExporter.cached(traced_folder, DEFAULT_MODEL, Columns())
