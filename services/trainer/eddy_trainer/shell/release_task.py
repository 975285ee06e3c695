"""A release on its way out, beside the loop: captured in between two turns, judged and published while training goes on."""

import asyncio

from eddy.kafka.bus import KafkaError
from eddy.kafka.permissions import PERMISSION_ERRORS
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release import Capture, HeldRelease, Release
from eddy_trainer.shell.observer import Observer
from eddy_trainer.shell.releases import ReleasePublisher


class ReleaseTask:
    """One release at a time."""

    def __init__(self, turn: OnlineTrainer, publisher: ReleasePublisher, observer: Observer) -> None:
        self._turn = turn
        self._publisher = publisher
        self._observer = observer
        self._running: asyncio.Task[Release | None] | None = None

    @property
    def version(self) -> int:
        """Of the newest release."""
        return self._publisher.version

    async def advance(self, now: float) -> None:
        """Take note of a release that is out, and start the next one when it is due. Raises what a release failed with: the release is
        tried again after a KafkaError, unless a permission is missing."""
        if self._running is not None and self._running.done():
            released = await self._running
            self._running = None
            if released is not None:
                self._turn.served(released, self._publisher.version)
        if self._running is None and self._turn.schedule.is_due(now):
            capture = await asyncio.to_thread(self._turn.capture, now)
            self._running = asyncio.create_task(self._judge_and_publish(capture))

    async def _judge_and_publish(self, capture: Capture) -> Release | None:
        """The release; None where it was held, outdated by a rollback, or could not be written."""
        with self._observer.releasing():
            compared = await asyncio.to_thread(self._turn.judge, capture)
            current = self._turn.is_current(capture)
            if isinstance(compared, HeldRelease):
                self._observer.held(compared, current)
                return None
            if not current:
                return None
            try:
                published = await self._publisher.publish(
                    compared.weights, compared.graphs, capture.trained_through, compared.metrics()
                )
            except PERMISSION_ERRORS:
                raise
            except KafkaError as error:
                self._observer.release_failed(error)
                self._turn.schedule.retry()
                return None
        if published.left:
            self._turn.schedule.retry()
        self._observer.released(compared, published)
        await asyncio.to_thread(self._observer.show_items, compared, published.version)
        return compared
