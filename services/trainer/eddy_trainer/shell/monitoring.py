"""TensorBoard output, if set, and profiles of training steps on demand."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import structlog
import torch
from torch.profiler import ProfilerActivity, profile

from eddy_trainer.core.learner import Learner, StepReport, Weights

PROJECTED_ITEMS = 5000
PROJECTION_INTERVAL_SEC = 60.0

log = structlog.get_logger()
T = TypeVar("T")


class TensorBoard:
    """Writes scalars and item vectors into a folder, or nothing without one. The step is the number of training examples."""

    def __init__(self, folder: Path | None) -> None:
        self._writer = None
        self._projected_at = -PROJECTION_INTERVAL_SEC
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter  # slow to import

            self._writer = SummaryWriter(str(folder))

    def write_step(self, learner: Learner, report: StepReport) -> None:
        """Write the scalars of a training step."""
        if self._writer is None:
            return
        labels, next_items = learner.label_window.compare(), learner.next_item_window.compare()
        scalars = {
            "loss/next item, encoder": report.encoder_loss,
            "loss/impressions, serving": labels.serving,
            "loss/impressions, candidate": labels.candidate,
            "loss/candidate sets, serving": next_items.serving,
            "loss/candidate sets, candidate": next_items.candidate,
            "steps/encoder": report.encoder_steps,
            "steps/ranker": report.ranker_steps,
            "steps/skipped": report.shed_steps,
        }
        for scenario, figures in learner.quality.figures().items():
            scalars |= {
                f"{scenario}/AUC": figures.auc,
                f"{scenario}/calibration": figures.calibration,
                f"{scenario}/NDCG at 10": figures.ndcg,
                f"{scenario}/HR at 10": figures.hr,
            }
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, learner.examples)

    def write_items(self, weights: Weights, version: int) -> None:
        """Write the vectors of the first PROJECTED_ITEMS items for the projector, at most once a minute."""
        if self._writer is None or time.monotonic() - self._projected_at < PROJECTION_INTERVAL_SEC:
            return
        self._projected_at = time.monotonic()
        rows = slice(1, 1 + PROJECTED_ITEMS)
        self._writer.add_embedding(
            torch.from_numpy(weights.vectors[rows]), weights.item_ids[rows], global_step=version, tag="items"
        )
        self._writer.flush()


class Profiler:
    """Profiles the next training step after SIGUSR1 and writes a trace for chrome://tracing or Perfetto into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._requested = False

    def listen(self) -> None:
        """Handle SIGUSR1 in the running event loop."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.request)

    def request(self) -> None:
        """Profile the next step."""
        self._requested = True

    def run(self, work: Callable[[], T]) -> T:
        """Run the work, with a profile if one was requested."""
        if not self._requested:
            return work()
        self._requested = False
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as recorded:
            result = work()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"trainer-profile-{time.strftime('%Y%m%d-%H%M%S')}.json"
        recorded.export_chrome_trace(str(path))
        log.info("profile_written", trace=str(path))
        return result
