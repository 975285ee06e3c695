"""Requests wait for their own user's features, deadline and partition, and not for one another."""

from eddy_scorer.shell.request_queue import MAX_WAITING, QueuedRequest, RequestQueue
from tests.scorer.factories import request


class _Applied(dict[str, int]):
    def __call__(self, user_id: str) -> int:
        return self.get(user_id, -1)


def _ticket(user: str, offset: int, after: int | None = None, by: int = 100, partition: int = 0) -> QueuedRequest:
    return QueuedRequest(request(user), partition, offset, after_offset=after, answer_by=by)


def _loaded_queue(applied: _Applied | None = None) -> RequestQueue:
    queue = RequestQueue(_Applied() if applied is None else applied)
    queue.partition_loaded(0)
    return queue


def test_requests_keep_their_order() -> None:
    queue = _loaded_queue()
    for offset in range(3):
        queue.add(_ticket("u", offset))
    assert [ticket.offset for ticket in queue.take(2)] == [0, 1]
    assert [ticket.offset for ticket in queue.take(2)] == [2]
    assert not queue.ready


def test_request_waits_for_its_own_user_only() -> None:
    applied = _Applied()
    queue = _loaded_queue(applied)
    queue.add(_ticket("slow", 0, after=7))
    queue.add(_ticket("other", 1))
    assert [ticket.offset for ticket in queue.take(9)] == [1]
    applied["slow"] = 6
    queue.features_changed("slow")
    assert not queue.ready
    applied["slow"] = 7
    queue.features_changed("slow")
    assert [ticket.offset for ticket in queue.take(9)] == [0]


def test_request_does_not_wait_for_applied_features() -> None:
    queue = _loaded_queue(_Applied(u=9))
    queue.add(_ticket("u", 0, after=9))
    assert queue.ready


def test_deadline_ends_the_wait_once() -> None:
    queue = _loaded_queue()
    queue.add(_ticket("u", 0, after=5, by=50))
    queue.add(_ticket("u", 1, after=5, by=70))
    assert queue.next_deadline() == 50
    assert queue.expire(49) == 0
    assert queue.expire(60) == 1
    assert [ticket.offset for ticket in queue.take(9)] == [0]
    queue.features_changed("u")
    assert queue.expire(100) == 1
    assert [ticket.offset for ticket in queue.take(9)] == [1]
    assert len(queue) == 0


def test_request_released_before_its_deadline_does_not_expire() -> None:
    applied = _Applied()
    queue = _loaded_queue(applied)
    queue.add(_ticket("u", 0, after=5))
    applied["u"] = 5
    queue.features_changed("u")
    assert queue.expire(1000) == 0
    assert len(queue.take(9)) == 1


def test_no_request_is_ready_before_the_users_are_loaded() -> None:
    queue = RequestQueue(_Applied())
    queue.add(_ticket("u", 0, by=0))
    assert queue.expire(10) == 0
    assert not queue.ready
    queue.partition_loaded(0)
    assert queue.ready


def test_requests_of_a_revoked_partition_are_dropped() -> None:
    queue = _loaded_queue()
    queue.partition_loaded(1)
    queue.add(_ticket("u", 0))
    queue.add(_ticket("u", 1, after=5))
    queue.add(_ticket("v", 0, partition=1))
    queue.drop_partitions({0})
    assert [ticket.partition for ticket in queue.take(9)] == [1]
    assert queue.next_deadline() is None
    queue.add(_ticket("u", 2))
    assert not queue.ready


def test_one_push_per_user_after_the_requests() -> None:
    queue = _loaded_queue()
    queue.push(QueuedRequest(request("u", request_id="old")))
    queue.push(QueuedRequest(request("u", request_id="new")))
    queue.add(_ticket("v", 0))
    taken = queue.take(9)
    assert [ticket.request.request_id for ticket in taken] == ["r", "new"]
    assert not queue.ready


def test_full_queue_has_no_room_until_requests_are_taken() -> None:
    queue = _loaded_queue()
    for offset in range(MAX_WAITING + 1):
        queue.add(_ticket("u", offset))
    assert not queue.has_room.is_set()
    queue.take(1)
    assert queue.has_room.is_set()
