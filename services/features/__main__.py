"""`python -m services.features`."""

from services.features.app import main
from services.features.settings import FeaturesSettings
from shared.runtime import run_service

if __name__ == "__main__":
    run_service("features", FeaturesSettings, main)
