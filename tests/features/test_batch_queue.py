"""The queue between fetching and handling: order, batch size, back-pressure, and discarding."""

import asyncio
from collections.abc import Mapping

import pytest

from eddy.contract.message import Message, TopicPartition
from eddy_features.shell.batch_queue import BatchQueue
from tests.poll import poll_until

FIRST, SECOND = TopicPartition("events", 0), TopicPartition("events", 1)


def messages(count: int, start: int = 0) -> list[Message]:
    return [Message("events", 0, start + number, None, b"", 0) for number in range(count)]


class RecordingHandler:
    """Records the offsets of each batch by partition; blocks while `go` is not set."""

    def __init__(self) -> None:
        self.batches: list[dict[int, list[int]]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, batch: Mapping[TopicPartition, list[Message]]) -> None:
        self.batches.append({tp.partition: [message.offset for message in part] for tp, part in batch.items()})
        await self.go.wait()


@pytest.mark.parametrize(
    ("max_records", "share"), [(4, 2), (1, 1)]
)  # the second: fewer records in a batch than partitions in the queue
async def test_queued_messages_are_handled_in_order_by_batches(max_records: int, share: int) -> None:
    handler = RecordingHandler()
    queue = BatchQueue(handler, max_records)
    queue.add(FIRST, messages(share + 1))
    queue.add(SECOND, messages(share + 1))
    running = asyncio.create_task(queue.run())
    await poll_until(lambda: len(queue) == 0 and len(handler.batches) == 2)
    front = list(range(share))
    assert handler.batches == [{0: front, 1: front}, {0: [share], 1: [share]}]
    running.cancel()


async def test_discard_drops_queued_messages_and_waits_for_the_batch_in_progress() -> None:
    handler = RecordingHandler()
    handler.go.clear()
    queue = BatchQueue(handler, max_records=2)
    queue.add(FIRST, messages(6))
    running = asyncio.create_task(queue.run())
    await poll_until(lambda: bool(handler.batches))
    discarding = asyncio.create_task(queue.discard())
    await asyncio.sleep(0)
    assert not discarding.done()
    handler.go.set()
    await discarding
    assert len(queue) == 0
    assert handler.batches == [{0: [0, 1]}]
    running.cancel()


async def test_a_batch_that_is_held_back_starts_when_allowed() -> None:
    handler = RecordingHandler()
    allowed = False
    queue = BatchQueue(handler, max_records=10, may_start=lambda queued: queued > 0 and (allowed or queued >= 3))
    running = asyncio.create_task(queue.run())
    queue.add(FIRST, messages(2))
    queue.wake()
    await asyncio.sleep(0)
    assert handler.batches == []
    queue.add(FIRST, messages(1, start=2))
    await poll_until(lambda: handler.batches == [{0: [0, 1, 2]}])
    queue.add(FIRST, messages(1, start=3))
    allowed = True
    queue.wake()
    await poll_until(lambda: len(handler.batches) == 2)
    running.cancel()


async def test_a_batch_can_start_without_messages() -> None:
    handler = RecordingHandler()
    work = [1, 2]
    queue = BatchQueue(handler, max_records=10, may_start=lambda queued: bool(work) and bool(work.pop()))
    running = asyncio.create_task(queue.run())
    queue.wake()
    await poll_until(lambda: not work)
    assert handler.batches == [{}, {}]
    running.cancel()


async def test_batches_are_apart_by_the_interval_unless_the_queue_is_full() -> None:
    handler = RecordingHandler()
    queue = BatchQueue(handler, max_records=3, interval_sec=60.0)
    running = asyncio.create_task(queue.run())
    queue.add(FIRST, messages(1))
    await poll_until(lambda: handler.batches == [{0: [0]}])
    queue.add(FIRST, messages(2, start=1))
    await asyncio.sleep(0.05)
    assert len(handler.batches) == 1
    queue.add(FIRST, messages(1, start=3))
    await poll_until(lambda: handler.batches[1:] == [{0: [1, 2, 3]}])
    running.cancel()


async def test_wait_for_room_returns_when_enough_messages_were_taken() -> None:
    handler = RecordingHandler()
    handler.go.clear()
    queue = BatchQueue(handler, max_records=2)
    queue.add(FIRST, messages(6))
    running = asyncio.create_task(queue.run())
    waiting = asyncio.create_task(queue.wait_for_room(2))
    await poll_until(lambda: bool(handler.batches))
    assert not waiting.done()
    handler.go.set()
    await waiting
    running.cancel()
