"""`python -m eddy_scorer`."""

from eddy.runtime import run_service
from eddy_scorer.app import main
from eddy_scorer.settings import ScorerSettings

if __name__ == "__main__":
    run_service("scorer", ScorerSettings, main)
