"""Recovery: from the last checkpoint at the start, and back to it when the model in training became unsound."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from eddy.contract.topics import ITEMS
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.shell.checkpoint import TrainerCheckpoint, read_checkpoint, write_checkpoint
from eddy_trainer.shell.inputs import TIMEOUT_MS, Inputs
from eddy_trainer.shell.observer import Observer


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """Keeps the learner and the offsets it has learned through as one file in `path`."""

    path: Path
    turn: OnlineTrainer
    inputs: Inputs
    observer: Observer

    async def recover(self) -> None:
        """Go on from the checkpoint, or from the topics' beginnings where there is none. Items are read to their end."""
        saved = await asyncio.to_thread(read_checkpoint, self.path, self.turn.learner.model)
        self.turn.restart(saved.learner if saved is not None else None)
        offsets = dict(saved.offsets) if saved is not None else {}
        if self.turn.learner.items_outdated:
            del offsets[ITEMS]
        await self.inputs.seek(offsets)
        self.turn.schedule.read_through(self.inputs.examples.next_offsets)
        self.observer.recovered(self.turn.learner, self.inputs.examples.next_offsets)
        ends = await self.inputs.items.ends()
        while not await self.inputs.items.reached(ends):
            self.observer.beat()
            self.turn.learner.admit(await self.inputs.read_items(TIMEOUT_MS))

    async def save(self) -> None:
        """Write a checkpoint of a model that is sound; go back to the last one where it is not."""
        if not (await asyncio.to_thread(self.turn.learner.snapshot)).finite():
            self.observer.not_a_number()
            await self.recover()
            return
        with self.observer.saving():
            checkpoint = TrainerCheckpoint(self.inputs.offsets, self.turn.learner.state())
            await asyncio.to_thread(write_checkpoint, self.path, checkpoint)
