"""Releases in the background: captured between two iterations, judged and published while training continues."""

import asyncio

from eddy.kafka.bus import KafkaError
from eddy.kafka.permissions import PERMISSION_ERRORS
from eddy_trainer.core.online_trainer import OnlineTrainer
from eddy_trainer.core.release import Capture, HeldRelease, Release
from eddy_trainer.shell.observer import Observer
from eddy_trainer.shell.releases import ReleasePublisher

DELETE_SEC = 1.0  # until deleted items are published without a release


class ReleaseTask:
    """Prepares and publishes one release at a time."""

    def __init__(self, trainer: OnlineTrainer, publisher: ReleasePublisher, observer: Observer) -> None:
        self._trainer = trainer
        self._publisher = publisher
        self._observer = observer
        self._running: asyncio.Task[Release | None] | None = None
        self._deleted_at: float | None = None  # when the first unpublished deletion was seen

    @property
    def version(self) -> int:
        """Version of the newest release."""
        return self._publisher.version

    async def advance(self, now: float) -> None:
        """Complete a published release, and start the next one if it is due.

        A KafkaError other than a missing permission is logged and the release retried; any other error of a release is raised.
        """
        if self._running is not None and self._running.done():
            released = await self._running
            self._running = None
            if released is not None:
                self._trainer.served(released, self._publisher.version)
        try:
            if await self._publisher.watch():
                self._trainer.schedule.retry()
        except PERMISSION_ERRORS:
            raise
        except KafkaError as error:
            self._observer.release_failed(error)
        await self._publish_deletions(now)
        if self._running is None and self._trainer.schedule.is_due(now):
            capture = await asyncio.to_thread(self._trainer.capture, now)
            self._running = asyncio.create_task(self._judge_and_publish(capture))

    async def _publish_deletions(self, now: float) -> None:
        """Publish deletions that no release has taken along within DELETE_SEC: the next one may be held, or far away."""
        deleted = self._trainer.learner.unpublished_deletions
        if not deleted:
            self._deleted_at = None
        elif self._deleted_at is None:
            self._deleted_at = now
        elif self._running is None and now - self._deleted_at >= DELETE_SEC:
            try:
                await self._publisher.delete_rows(deleted)
            except PERMISSION_ERRORS:
                raise
            except KafkaError as error:
                self._observer.release_failed(error)
                self._deleted_at = now
            else:
                self._trainer.learner.deletions_published(deleted)

    async def stop(self) -> None:
        """Cancel a release that is under way. Its transaction is aborted on return, so that the publisher can be closed."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.wait([self._running])

    async def _judge_and_publish(self, capture: Capture) -> Release | None:
        """Return the release; None if it was held, outdated by a rollback, or not written."""
        with self._observer.releasing():
            judged = await asyncio.to_thread(self._trainer.judge, capture)
            current = self._trainer.is_current(capture)
            if isinstance(judged, HeldRelease):
                self._observer.held(judged, current)
                return None
            if not current:
                return None
            try:
                published = await self._publisher.publish(
                    judged.weights, judged.graphs, capture.trained_through, judged.metrics()
                )
            except PERMISSION_ERRORS:
                raise
            except KafkaError as error:
                self._observer.release_failed(error)
                self._trainer.schedule.retry()
                return None
        if published.remaining:
            self._trainer.schedule.retry()
        self._observer.released(judged, published)
        await asyncio.to_thread(self._observer.project_items, judged, published.version)
        return judged
