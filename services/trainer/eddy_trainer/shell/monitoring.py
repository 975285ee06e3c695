"""Training, watched: scalars and item vectors for TensorBoard by a setting, and a profile of a step of learning on demand."""

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
    """Writes what TensorBoard reads into a folder; nothing without one. The step is the number of examples learned from."""

    def __init__(self, folder: Path | None) -> None:
        self._writer = None
        self._items_at = -PROJECTION_INTERVAL_SEC
        if folder is not None:
            from torch.utils.tensorboard import SummaryWriter  # heavy, and needed by nobody who does not watch

            self._writer = SummaryWriter(str(folder))

    def write_step(self, learner: Learner, report: StepReport) -> None:
        """A turn of learning."""
        if self._writer is None:
            return
        labels, lists = learner.label_window.compare(), learner.next_item_window.compare()
        scalars = {
            "loss/next item, encoder": report.encoder_loss,
            "loss/shown items, serving": labels.serving,
            "loss/shown items, candidate": labels.candidate,
            "loss/lists, serving": lists.serving,
            "loss/lists, candidate": lists.candidate,
            "steps/encoder": report.encoder_steps,
            "steps/ranker": report.ranker_steps,
            "steps/left out": report.shed_steps,
        }
        for scenario, found in learner.quality.figures().items():
            scalars |= {
                f"{scenario}/AUC": found.auc,
                f"{scenario}/calibration": found.calibration,
                f"{scenario}/NDCG at 10": found.ndcg,
                f"{scenario}/HR at 10": found.hr,
            }
        for name, value in scalars.items():
            self._writer.add_scalar(name, value, learner.examples)

    def write_items(self, weights: Weights, version: int) -> None:
        """A release; once a minute its item vectors, the first ITEMS_SHOWN of them, for the projector."""
        if self._writer is None or time.monotonic() - self._items_at < PROJECTION_INTERVAL_SEC:
            return
        self._items_at = time.monotonic()
        shown = slice(1, 1 + PROJECTED_ITEMS)
        self._writer.add_embedding(
            torch.from_numpy(weights.vectors[shown]), weights.item_ids[shown], global_step=version, tag="items"
        )
        self._writer.flush()


class Profiler:
    """Upon SIGUSR1 the next step of learning is profiled; its trace (for chrome://tracing or Perfetto) goes into a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked = False

    def listen(self) -> None:
        """From now on, in the running event loop."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self.ask)

    def ask(self) -> None:
        self._asked = True

    def around(self, work: Callable[[], T]) -> T:
        """Do the work, watched if that was asked for."""
        if not self._asked:
            return work()
        self._asked = False
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as watched:
            found = work()
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"trainer-profile-{time.strftime('%Y%m%d-%H%M%S')}.json"
        watched.export_chrome_trace(str(path))
        log.info("profile_written", trace=str(path))
        return found
