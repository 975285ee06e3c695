"""Commits stay below the oldest unanswered request, whatever the order of answers."""

from hypothesis import given
from hypothesis import strategies as st

from eddy_scorer.shell.request_ledger import RequestLedger


def test_commit_stops_at_the_oldest_open_offset() -> None:
    ledger = RequestLedger()
    for offset in (5, 6, 7):
        ledger.add(0, offset)
    ledger.done(0, 6)
    assert ledger.committable() == {0: 5}
    ledger.done(0, 5)
    assert ledger.committable() == {0: 7}
    ledger.committed({0: 7})
    assert ledger.committable() == {}
    ledger.done(0, 7)
    assert ledger.committable() == {0: 8}


def test_revoked_partition_is_forgotten() -> None:
    ledger = RequestLedger()
    ledger.add(1, 0)
    ledger.drop_partitions({1})
    ledger.done(1, 0)
    ledger.committed({1: 1})
    assert ledger.committable() == {}


@given(st.permutations(range(8)), st.integers(0, 8))
def test_everything_below_a_commit_is_done(order: list[int], answered: int) -> None:
    ledger = RequestLedger()
    for offset in range(8):
        ledger.add(0, offset)
    for offset in order[:answered]:
        ledger.done(0, offset)
    committable = ledger.committable()[0]
    assert set(range(committable)) <= set(order[:answered])
    assert committable == 8 or committable not in order[:answered]
