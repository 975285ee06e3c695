"""Requests wait for their own user's features, deadline and partition, and not for one another."""

from typing import Any

from eddy_scorer.shell.request_queue import (
    LATE_ANSWER_MS,
    MAX_PUSHES,
    MAX_READY,
    MAX_WAITING,
    QueuedRequest,
    RequestQueue,
)
from eddy_scorer.shell.serving import SlatePusher
from tests.scorer.factories import NOW, history, recommender, rejected_items, request, user_features


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
    for offset in range(MAX_READY + 1):
        queue.add(_ticket("u", offset))
    assert not queue.has_room.is_set()
    queue.take(1)
    assert queue.has_room.is_set()


def test_requests_past_their_deadline_are_dropped_and_the_others_are_kept() -> None:
    queue = _loaded_queue()
    for offset, deadline in enumerate([50, None, 40, 60]):
        queue.add(QueuedRequest(request("u"), 0, offset, useless_after=deadline))
    assert queue.drop_useless(40) == []
    assert [ticket.offset for ticket in queue.drop_useless(51)] == [0, 2]
    assert [ticket.offset for ticket in queue.take(9)] == [1, 3]


def test_while_clocks_are_not_compared_the_newest_request_is_answered() -> None:
    queue = _loaded_queue()
    for offset in range(3):
        queue.add(QueuedRequest(request("u"), 0, offset, useless_after=50))
    assert [ticket.offset for ticket in queue.drop_useless(51, keep_newest=True)] == [0, 1]
    assert queue.drop_useless(51, keep_newest=True) == []
    assert [ticket.offset for ticket in queue.take(9)] == [2]


def test_a_request_released_at_its_deadline_may_be_a_little_late() -> None:
    queue = _loaded_queue()
    queue.add(QueuedRequest(request("u"), 0, 0, after_offset=5, answer_by=50, useless_after=50))
    assert queue.expire(51) == 1
    assert queue.drop_useless(50 + LATE_ANSWER_MS) == []
    assert [ticket.offset for ticket in queue.drop_useless(51 + LATE_ANSWER_MS)] == [0]


def test_thousands_of_waiting_requests_hold_up_no_other() -> None:
    """Those with the longest deadlines are answered without their features; short ones of other users still wait for theirs."""
    queue = _loaded_queue()
    queue.add(_ticket("honest", 0, after=7, by=50))
    for offset in range(1, MAX_WAITING + 2):
        queue.add(_ticket("attacker", offset, after=7, by=1000 + offset))
        assert queue.has_room.is_set()
    assert len(queue) == MAX_WAITING + 2
    released = queue.take(MAX_WAITING)
    assert {ticket.request.user_id for ticket in released} == {"attacker"}
    assert min(ticket.offset for ticket in released) > MAX_WAITING / 2
    queue.features_changed("honest")
    assert not queue.ready
    assert queue.expire(50) == 1
    assert queue.take(1)[0].request.user_id == "honest"


def test_deadlines_of_released_requests_do_not_pile_up() -> None:
    applied = _Applied()
    queue = _loaded_queue(applied)
    for offset in range(5 * MAX_WAITING):
        queue.add(_ticket("u", offset, after=offset, by=10**9))
        applied["u"] = offset
        queue.features_changed("u")
        queue.take(1)
    assert len(queue) == 0
    assert len(queue._deadlines) < 2000


def test_pushes_are_bounded() -> None:
    queue = _loaded_queue()
    for number in range(MAX_PUSHES + 5):
        queue.push(QueuedRequest(request(f"u{number}")))
    taken = queue.take(2 * MAX_PUSHES)
    assert [ticket.request.user_id for ticket in (taken[0], taken[-1])] == ["u5", f"u{MAX_PUSHES + 4}"]


def test_a_rejection_is_pushed_as_an_interaction_is_and_nothing_else() -> None:
    engine = recommender()
    queue = RequestQueue(lambda _: 10)
    pusher = SlatePusher(engine, queue, limit=3)
    steps: list[dict[str, Any]] = [
        {"history": history(["a"], "social")},
        {"history": history(["a"], "social"), "counts": {"social/impression": 1}},
        {"history": history(["a"], "social"), "rejected_items": rejected_items({"b": NOW})},
    ]
    pushed = []
    for offset, changes in enumerate(steps):
        former = engine.state.users.get("u")
        user = engine.apply_user_features(user_features("u", applied_offset=offset, **changes))
        pusher.user_changed("u", former, user)
        pushed.append([ticket.request.request_id for ticket in queue.take(9)])
    assert pushed == [["push-0-0"], [], ["push-0-2"]]
