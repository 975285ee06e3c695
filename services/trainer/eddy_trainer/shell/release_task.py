"""A release on its way out, beside the loop: captured in between two turns, judged and published while training goes on."""

import asyncio

from eddy.kafka.bus import KafkaError
from eddy_trainer.core.release import Capture, Held, Release
from eddy_trainer.core.turn import Turn
from eddy_trainer.shell.observer import Observer
from eddy_trainer.shell.releases import Publisher


class ReleaseTask:
    """One release at a time."""

    def __init__(self, turn: Turn, publisher: Publisher, observer: Observer) -> None:
        self._turn = turn
        self._publisher = publisher
        self._observer = observer
        self._running: asyncio.Task[Release | None] | None = None

    @property
    def version(self) -> int:
        """Of the newest release."""
        return self._publisher.version

    async def advance(self, now: float) -> None:
        """Take note of a release that is out, and start the next one when it is due. Raises what a release failed with: a KafkaError is
        not raised, the release is tried again."""
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
            judged = await asyncio.to_thread(self._turn.judge, capture)
            current = self._turn.is_current(capture)
            if isinstance(judged, Held):
                self._observer.held(judged, current)
                return None
            if not current:
                return None
            try:
                published = await self._publisher.publish(
                    judged.weights, judged.graphs, capture.trained_through, judged.metrics()
                )
            except KafkaError as error:
                self._observer.release_failed(error)
                self._turn.schedule.ask_again()
                return None
        if published.left:
            self._turn.schedule.ask_again()
        self._observer.released(judged, published)
        await asyncio.to_thread(self._observer.show_items, judged, published.version)
        return judged
