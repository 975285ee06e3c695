"""Code shared by the services: codec, topics, settings, metrics, runtime, Kafka adapter, scenarios, model contract."""

from importlib.metadata import version

# All packages of Eddy have one version: that of eddy-core, from its pyproject.toml.
__version__ = version("eddy-core")
