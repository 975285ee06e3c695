"""`python -m eddy_joiner`."""

from eddy.runtime import run_service
from eddy_joiner.app import main
from eddy_joiner.settings import JoinerSettings

if __name__ == "__main__":
    run_service("joiner", JoinerSettings, main)
