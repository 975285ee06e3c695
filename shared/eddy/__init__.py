"""What the services share: codec, topics, settings, metrics, runtime, Kafka adapter, scenarios, the model contract."""

from importlib.metadata import version

# All packages of Eddy have one version; pyproject.toml of eddy-core says it.
__version__ = version("eddy-core")
