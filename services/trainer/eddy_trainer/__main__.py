"""Entry point: `python -m eddy_trainer`."""

from eddy.runtime import run_service
from eddy_trainer.app import serve
from eddy_trainer.settings import TrainerSettings

if __name__ == "__main__":
    run_service("trainer", TrainerSettings, serve)
