"""`python -m services.scorer`."""

from services.scorer.app import main
from services.scorer.settings import ScorerSettings
from shared.runtime import run_service

if __name__ == "__main__":
    run_service("scorer", ScorerSettings, main)
