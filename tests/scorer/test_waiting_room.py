"""Who waits for what, and nobody for somebody else."""

from eddy_scorer.shell.waiting_room import MOST_WAITING, Ticket, WaitingRoom
from tests.scorer.factories import request


class _Applied(dict[str, int]):
    def __call__(self, user_id: str) -> int:
        return self.get(user_id, -1)


def _ticket(user: str, offset: int, after: int | None = None, by: int = 100, partition: int = 0) -> Ticket:
    return Ticket(request(user), partition, offset, after_offset=after, answer_by=by)


def _room(applied: _Applied | None = None) -> WaitingRoom:
    room = WaitingRoom(_Applied() if applied is None else applied)
    room.loaded(0)
    return room


def test_requests_pass_in_order() -> None:
    room = _room()
    for offset in range(3):
        room.admit(_ticket("u", offset))
    assert [ticket.offset for ticket in room.take(2)] == [0, 1]
    assert [ticket.offset for ticket in room.take(2)] == [2]
    assert not room.ready


def test_request_waits_for_its_own_user_alone() -> None:
    applied = _Applied()
    room = _room(applied)
    room.admit(_ticket("slow", 0, after=7))
    room.admit(_ticket("other", 1))
    assert [ticket.offset for ticket in room.take(9)] == [1]
    applied["slow"] = 6
    room.features_moved("slow")
    assert not room.ready
    applied["slow"] = 7
    room.features_moved("slow")
    assert [ticket.offset for ticket in room.take(9)] == [0]


def test_features_that_are_there_already_are_not_waited_for() -> None:
    room = _room(_Applied(u=9))
    room.admit(_ticket("u", 0, after=9))
    assert room.ready


def test_deadline_ends_the_wait_once() -> None:
    room = _room()
    room.admit(_ticket("u", 0, after=5, by=50))
    room.admit(_ticket("u", 1, after=5, by=70))
    assert room.next_deadline() == 50
    assert room.expire(49) == 0
    assert room.expire(60) == 1
    assert [ticket.offset for ticket in room.take(9)] == [0]
    room.features_moved("u")
    assert room.expire(100) == 1
    assert [ticket.offset for ticket in room.take(9)] == [1]
    assert len(room) == 0


def test_answered_in_time_is_not_late() -> None:
    applied = _Applied()
    room = _room(applied)
    room.admit(_ticket("u", 0, after=5))
    applied["u"] = 5
    room.features_moved("u")
    assert room.expire(1000) == 0
    assert len(room.take(9)) == 1


def test_nobody_is_answered_before_the_users_are_loaded() -> None:
    room = WaitingRoom(_Applied())
    room.admit(_ticket("u", 0, by=0))
    assert room.expire(10) == 0
    assert not room.ready
    room.loaded(0)
    assert room.ready


def test_given_up_partition_takes_its_requests_along() -> None:
    room = _room()
    room.loaded(1)
    room.admit(_ticket("u", 0))
    room.admit(_ticket("u", 1, after=5))
    room.admit(_ticket("v", 0, partition=1))
    room.forget({0})
    assert [ticket.partition for ticket in room.take(9)] == [1]
    assert room.next_deadline() is None
    room.admit(_ticket("u", 2))
    assert not room.ready


def test_one_push_per_user_after_the_requests() -> None:
    room = _room()
    room.push(Ticket(request("u", request_id="old")))
    room.push(Ticket(request("u", request_id="new")))
    room.admit(_ticket("v", 0))
    taken = room.take(9)
    assert [ticket.request.request_id for ticket in taken] == ["r", "new"]
    assert not room.ready


def test_full_room_says_so_until_there_is_room() -> None:
    room = _room()
    for offset in range(MOST_WAITING + 1):
        room.admit(_ticket("u", offset))
    assert not room.has_room.is_set()
    room.take(1)
    assert room.has_room.is_set()
