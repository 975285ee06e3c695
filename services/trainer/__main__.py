"""`python -m services.trainer`."""

from services.trainer.app import serve
from services.trainer.settings import TrainerSettings
from shared.runtime import run_service

if __name__ == "__main__":
    run_service("trainer", TrainerSettings, serve)
