import asyncio
from collections.abc import Mapping

import pytest

from eddy.contract.message import Message, TopicPartition
from eddy_features.shell.lane import Lane
from tests.poll import poll_until

FIRST, SECOND = TopicPartition("events", 0), TopicPartition("events", 1)


def some(count: int, start: int = 0) -> list[Message]:
    return [Message("events", 0, start + number, None, b"", 0) for number in range(count)]


class Taking:
    """A handler that notes what it was given, and can be held up."""

    def __init__(self) -> None:
        self.batches: list[dict[int, list[int]]] = []
        self.go = asyncio.Event()
        self.go.set()

    async def __call__(self, taken: Mapping[TopicPartition, list[Message]]) -> None:
        self.batches.append({tp.partition: [message.offset for message in batch] for tp, batch in taken.items()})
        await self.go.wait()


@pytest.mark.parametrize(
    ("most", "share"), [(4, 2), (1, 1)]
)  # the second: fewer events in a batch than partitions wait
async def test_what_waits_is_taken_in_order_by_batches(most: int, share: int) -> None:
    taking = Taking()
    lane = Lane(taking, most=most)
    lane.add(FIRST, some(share + 1))
    lane.add(SECOND, some(share + 1))
    running = asyncio.create_task(lane.run())
    await poll_until(lambda: len(lane) == 0 and len(taking.batches) == 2)
    front = list(range(share))
    assert taking.batches == [{0: front, 1: front}, {0: [share], 1: [share]}]
    running.cancel()


async def test_settling_drops_what_waits_and_waits_for_what_is_handled() -> None:
    taking = Taking()
    taking.go.clear()
    lane = Lane(taking, most=2)
    lane.add(FIRST, some(6))
    running = asyncio.create_task(lane.run())
    await poll_until(lambda: bool(taking.batches))
    settling = asyncio.create_task(lane.settle())
    await asyncio.sleep(0)
    assert not settling.done()
    taking.go.set()
    await settling
    assert len(lane) == 0
    assert taking.batches == [{0: [0, 1]}]
    running.cancel()


async def test_batch_held_back_starts_once_it_may() -> None:
    taking = Taking()
    allowed = [False]
    lane = Lane(taking, most=10, may_start=lambda waiting: allowed[0] or waiting >= 3)
    running = asyncio.create_task(lane.run())
    lane.add(FIRST, some(2))
    lane.wake()
    await asyncio.sleep(0)
    assert taking.batches == []
    lane.add(FIRST, some(1, start=2))
    await poll_until(lambda: taking.batches == [{0: [0, 1, 2]}])
    lane.add(FIRST, some(1, start=3))
    allowed[0] = True
    lane.wake()
    await poll_until(lambda: len(taking.batches) == 2)
    running.cancel()


async def test_room_is_waited_for() -> None:
    taking = Taking()
    taking.go.clear()
    lane = Lane(taking, most=2)
    lane.add(FIRST, some(6))
    running = asyncio.create_task(lane.run())
    waiting = asyncio.create_task(lane.room(2))
    await poll_until(lambda: bool(taking.batches))
    assert not waiting.done()
    taking.go.set()
    await waiting
    running.cancel()
