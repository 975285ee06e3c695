"""`python -m services.joiner`."""

from services.joiner.app import main
from services.joiner.settings import JoinerSettings
from shared.runtime import run_service

if __name__ == "__main__":
    run_service("joiner", JoinerSettings, main)
