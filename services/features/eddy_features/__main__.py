"""Entry point: `python -m eddy_features`."""

from eddy.runtime import run_service
from eddy_features.app import main
from eddy_features.settings import FeaturesSettings

if __name__ == "__main__":
    run_service("features", FeaturesSettings, main)
