import pytest

from eddy.contract.model import Columns
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.models import DEFAULT_MODEL
from eddy_trainer.settings import TrainerSettings


@pytest.fixture(scope="session")
def exporter() -> GraphExporter:
    """The exporter of the default model, with the graphs that a trainer has cached, if any."""
    return GraphExporter.cached(TrainerSettings.model_fields["trainer_graphs_dir"].default, DEFAULT_MODEL, Columns())
