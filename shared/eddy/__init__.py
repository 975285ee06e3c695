"""Code shared by the services: codec, topics, settings, metrics, runtime, Kafka adapter, scenarios, model contract."""

import os
from importlib.metadata import version

# All packages of Eddy have one version: that of eddy-core, from its pyproject.toml.
__version__ = version("eddy-core")

# ONNX Runtime reports to its vendor unless this is set before it is imported. Eddy sends nothing to anybody.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
