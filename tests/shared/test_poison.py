from contextlib import nullcontext

import pytest

from eddy.contract.message import Message
from eddy.contract.poison import PoisonRuns, position_of
from eddy.errors import FatalError


def message(offset: int, partition: int = 0) -> Message:
    return Message("user-events", partition, offset, b"u", b"", 0)


def test_limit_of_consecutive_unusable_records_names_topic_and_reason() -> None:
    runs = PoisonRuns(4)
    for offset, reason in ((7, "undecodable"), (8, "wrong_key"), (10, "undecodable")):
        runs.note_unusable(message(offset), reason)
    runs.check()
    runs.note_unusable(message(11), "undecodable")
    with pytest.raises(
        FatalError, match=r"topic user-events, partition 0, offsets 7 to 11; most frequent reason: undecodable"
    ):
        runs.check()


def test_usable_record_restarts_the_count() -> None:
    runs = PoisonRuns(3)
    for start in range(0, 30, 3):
        runs.note_unusable(message(start), "undecodable")
        runs.note_unusable(message(start + 1), "undecodable")
        runs.note_usable(message(start + 2))
    runs.check()


def test_partitions_are_counted_separately_and_repeated_records_once() -> None:
    runs = PoisonRuns(3)
    for _ in range(5):
        for partition in range(4):
            for offset in range(2):
                runs.note_unusable(message(offset, partition), "undecodable")
    runs.check()


def test_no_limit_never_stops() -> None:
    runs = PoisonRuns(0)
    for offset in range(20_000):
        runs.note_unusable(message(offset), "undecodable")
    runs.check()


@pytest.mark.parametrize(("good", "stops"), [(0, True), (1, True), (2, False), (4, True)])
def test_batch_is_refused_in_order(good: int, stops: bool) -> None:
    """Where in the batch its good record is decides how long the longest run is."""
    runs = PoisonRuns(3)
    batch = [message(offset) for offset in range(5)]
    runs.note_batch(batch, {position_of(each): "undecodable" for each in batch if each.offset != good})
    with pytest.raises(FatalError) if stops else nullcontext():
        runs.check()
