"""Recovery from the last checkpoint: at the start, and when the model in training contains NaN."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from eddy.contract.topics import ITEMS
from eddy.set_aside import set_aside
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.shell.checkpoint import TrainerCheckpoint, read_checkpoint, write_checkpoint
from eddy_trainer.shell.inputs import TIMEOUT_MS, Inputs
from eddy_trainer.shell.observer import Observer


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """Saves and restores the learner, together with the offsets that it was trained through, in the file `path`."""

    path: Path
    trainer: OnlineTrainer
    inputs: Inputs
    observer: Observer

    async def recover(self) -> None:
        """Continue from the checkpoint, or from the beginnings of the topics without one. Reads all items."""
        saved = await asyncio.to_thread(read_checkpoint, self.path, self.trainer.learner.model)
        try:
            self.trainer.restart(saved.learner if saved is not None else None)
        except (
            LookupError,
            ValueError,
            TypeError,
            AttributeError,
            RuntimeError,
        ) as error:  # torch raises RuntimeError for other shapes
            set_aside(self.path, f"its content cannot be restored: {type(error).__name__}: {error}")
            saved = None
            self.trainer.restart(None)
        offsets = dict(saved.offsets) if saved is not None else {}
        if self.trainer.learner.items_outdated:
            del offsets[ITEMS]
        await self.inputs.seek(offsets)
        self.trainer.schedule.read_through(self.inputs.examples.next_offsets)
        self.observer.recovered(self.trainer.learner, self.inputs.examples.next_offsets)
        ends = await self.inputs.items.ends()
        while not await self.inputs.items.reached(ends):
            self.observer.beat()
            self.trainer.learner.admit(await self.inputs.read_items(TIMEOUT_MS))

    async def save(self) -> None:
        """Write a checkpoint, or restore the last one if the model contains NaN."""
        if not (await asyncio.to_thread(self.trainer.learner.snapshot)).finite():
            self.observer.not_a_number()
            await self.recover()
            return
        with self.observer.saving():
            checkpoint = TrainerCheckpoint(self.inputs.offsets, self.trainer.learner.state())
            await asyncio.to_thread(write_checkpoint, self.path, checkpoint)
