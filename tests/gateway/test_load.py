"""Above its capacity the gateway refuses at once, serves at its capacity, and keeps callers from crowding out each other."""

import asyncio
import random
from dataclasses import dataclass, field

import httpx
import pytest

from eddy.shares import FairShares
from eddy_gateway.core.admission import Admission, Work
from eddy_gateway.core.rates import MAX_CALLERS, RateLimiter
from tests.gateway.in_memory import LocalGateway, local_gateway
from tests.gateway.test_events import click

PATH = "/v1/recommendations/u?scenario=video"
CROWD = 400


def test_a_busy_caller_gets_half_and_two_get_a_third_each() -> None:
    shares = FairShares(30)
    assert sum(shares.take("a") for _ in range(100)) == 15
    assert sum(shares.take("b") for _ in range(100)) == 8
    shares.give_back("a", 15)
    assert sum(shares.take("b") for _ in range(100)) == 7
    assert sum(shares.take("a") for _ in range(100)) == 8
    for caller, amount in (("a", 8), ("b", 15)):
        shares.give_back(caller, amount)
    assert (shares.used, shares.callers) == (0, 0)


def test_a_caller_may_hold_a_multiple_of_what_is_free() -> None:
    shares = FairShares(30, factor=4)
    assert sum(shares.take("a") for _ in range(100)) == 24
    assert sum(shares.take("b") for _ in range(100)) == 5
    shares.give_back("a", 24)
    assert sum(shares.take("b") for _ in range(100)) == 19


@dataclass
class Simulation:
    """A server that finishes `rate` pieces of work a second, one after the other, and callers that come at `offered` a second."""

    rate: float
    now: float = 0.0
    free_at: float = 0.0
    done: list[tuple[float, Work, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.admission = Admission(128, 16, 4096, 0.5, lambda: self.now, share_factor=4)

    def play(
        self, seconds: float, offered: dict[str, float], answered: bool = True
    ) -> dict[str, tuple[int, int, float]]:
        """By caller: how many were admitted, how many came, and the longest time to an answer."""
        rng = random.Random(1)
        arrivals = sorted(
            (self.now + rng.random() * seconds, caller)
            for caller, rate in offered.items()
            for _ in range(round(rate * seconds))
        )
        admitted = dict.fromkeys(offered, 0)
        longest = dict.fromkeys(offered, 0.0)
        for at, caller in arrivals:
            self._finish(at, answered)
            work = self.admission.admit(caller)
            if work is not None:
                self.free_at = max(self.free_at, at) + 1 / self.rate
                self.done.append((self.free_at, work, at))
                admitted[caller] += 1
                longest[caller] = max(longest[caller], self.free_at - at)
        return {caller: (admitted[caller], round(rate * seconds), longest[caller]) for caller, rate in offered.items()}

    def _finish(self, until: float, answered: bool) -> None:
        while self.done and self.done[0][0] <= until:
            self.now, work, _ = self.done.pop(0)
            self.admission.finish(work, answered)
        self.now = until


@pytest.mark.parametrize("rate", [20.0, 100.0, 1000.0])
def test_twice_the_capacity_is_served_at_capacity_and_in_time(rate: float) -> None:
    simulation = Simulation(rate)
    simulation.play(40, {"a": 2 * rate})
    admitted, came, longest = simulation.play(20, {"a": 2 * rate})["a"]
    assert came == 40 * rate
    assert admitted == pytest.approx(20 * rate, rel=0.05)
    assert longest < 1.2


def test_one_caller_alone_may_use_the_whole_capacity() -> None:
    """Of a server that works on 96 requests at once, each for .3 s: half of the minimum would leave a third of it idle."""
    now = [0.0]
    admission = Admission(128, 128, 128, 0.5, lambda: now[0], share_factor=4)
    running: list[Work] = []
    served = 0
    for _ in range(300):
        running += [work for _ in range(10) if len(running) < 96 and (work := admission.admit("a"))]
        now[0] += 0.3 / 96 * 10
        done = [work for work in running if now[0] - work.started_at >= 0.3]
        served += len(done)
        running = [work for work in running if work not in done]
        for work in done:
            admission.finish(work, answered=True)
    assert len(running) >= 86
    assert served >= 0.9 * 300 * 10


def test_below_the_capacity_nothing_is_refused() -> None:
    simulation = Simulation(200.0)
    simulation.play(10, {"a": 400.0})
    simulation.play(2, {"a": 150.0})
    (admitted, came, _) = simulation.play(10, {"a": 150.0})["a"]
    assert admitted == came


def test_a_flood_of_one_caller_does_not_touch_another() -> None:
    simulation = Simulation(200.0)
    simulation.play(10, {"flood": 4000.0, "honest": 20.0})
    (admitted, came, longest) = simulation.play(20, {"flood": 4000.0, "honest": 20.0})["honest"]
    assert admitted >= 0.99 * came
    assert longest < 1.2


def test_after_an_outage_it_is_itself_again_within_five_seconds() -> None:
    simulation = Simulation(500.0)
    simulation.play(10, {"a": 400.0})
    simulation.play(10, {"a": 400.0}, answered=False)
    assert simulation.admission.limit == 2
    simulation.play(4, {"a": 400.0})
    (admitted, came, _) = simulation.play(1, {"a": 400.0})["a"]
    assert admitted == came


def test_work_that_also_waits_for_something_else_does_not_lower_the_limit() -> None:
    now = [0.0]
    admission = Admission(100, 10, 1000, 0.5, lambda: now[0])
    works = [admission.admit("a", timed=False) for _ in range(20)]
    now[0] = 2.0
    for work in works:
        assert work is not None
        admission.finish(work, answered=True)
    assert admission.limit == 100
    unanswered = admission.admit("a", timed=False)
    assert unanswered is not None
    admission.finish(unanswered, answered=False)
    assert admission.limit < 100


def test_below_its_minimum_the_limit_follows_lost_work_and_not_slow_work() -> None:
    now = [0.0]
    admission = Admission(128, 128, 1000, 0.5, lambda: now[0])

    def round_trip(seconds: float, answered: bool) -> float:
        works = [work for _ in range(1000) if (work := admission.admit("a"))]
        now[0] += seconds
        for work in works:
            admission.finish(work, answered)
        return admission.limit

    assert round_trip(1.0, answered=True) >= 128
    for _ in range(20):
        now[0] += 0.001
        lowest = round_trip(3.0, answered=False)
    assert lowest == 16
    # A caller that replaces each answered request; every answer takes a second, more than the target.
    works: list[Work] = []
    for _ in range(20_000):
        works += [work for _ in range(8) if (work := admission.admit("a"))]
        now[0] += 1.0 / len(works)
        admission.finish(works.pop(0), answered=True)
    assert 115 <= admission.limit <= 129


def test_a_large_piece_of_work_is_admitted_under_a_small_limit() -> None:
    admission = Admission(1000, 100, 1000, 0.5)
    assert admission.admit("a", 10**9) is not None
    assert admission.admit("a", 10**9) is not None
    assert admission.admit("a", 10**9) is None
    assert admission.admit("b", 10**9) is not None


def test_rates_are_limited_by_caller_in_bounded_memory() -> None:
    now = [1000.0]
    limiter = RateLimiter(3, 60.0, lambda: now[0])
    assert [limiter.hit("a") for _ in range(3)] == [0, 0, 0]
    assert limiter.hit("a") == pytest.approx(20)
    assert limiter.hit("b") == 0
    now[0] += 20.1
    assert limiter.hit("a") == 0
    assert limiter.hit("a") > 0
    for number in range(2 * MAX_CALLERS):
        limiter.hit(f"c{number}")
    assert len(limiter._free_at) == MAX_CALLERS


async def test_waiting_work_is_admitted_by_turns_and_the_newest_first() -> None:
    admission = Admission(4, 4, 4, 5.0)
    running = [admission.admit("a"), admission.admit("a"), admission.admit("b")]
    order: list[str] = []

    async def wait(caller: str, name: str) -> None:
        work = await admission.wait(caller)
        assert work is not None
        order.append(name)
        admission.finish(work, answered=None)

    waiting = []
    for caller, name in (("a", "a1"), ("a", "a2"), ("a", "a3"), ("b", "b1")):
        waiting.append(asyncio.create_task(wait(caller, name)))
        await asyncio.sleep(0)
    for work in running:
        assert work is not None
        admission.finish(work, answered=None)
    await asyncio.gather(*waiting)
    assert order == ["a3", "b1", "a2", "a1"]
    assert admission.in_progress == 0
    assert not admission._waiting


async def test_waiting_work_of_a_caller_is_bounded() -> None:
    admission = Admission(4, 4, 4, 30.0)
    running = [admission.admit("a") for _ in range(2)]
    waiting = [asyncio.create_task(admission.wait("a")) for _ in range(1000)]
    await asyncio.sleep(0.1)
    refused = [task for task in waiting if task.done()]
    assert len(refused) == 1000 - 256
    assert {task.result() for task in refused} == {None}
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert (len(running), admission.in_progress, len(admission._waiting)) == (2, 2, 0)


async def test_in_a_lasting_overload_little_waits_and_the_rest_is_refused_at_once() -> None:
    now = [0.0]
    admission = Admission(128, 128, 128, 0.5, lambda: now[0], share_factor=4)
    running = [work for _ in range(200) if (work := admission.admit("a"))]

    async def waiting_of(caller: str, number: int) -> list[asyncio.Task[Work | None]]:
        tasks = [asyncio.create_task(admission.wait(caller)) for _ in range(number)]
        await asyncio.sleep(0.05)
        return [task for task in tasks if not task.done()]

    burst = await waiting_of("a", 100)
    assert len(burst) == 100  # nothing was refused before: a burst waits
    await asyncio.wait(burst)
    assert {task.result() for task in burst} == {None}
    for _ in range(5):
        now[0] += 0.9  # as long as work is refused
        assert admission.crowded
        waiting = await waiting_of("a", 100)
        assert len(waiting) == 32
        assert admission.refuses("a")
        others = await waiting_of("b", 60)  # 25 are free, of which b gets 20 at once
        assert len(others) == 32
        assert admission.refuses("b")
        assert not admission.refuses("c")
        for task in (*waiting, *others):
            task.cancel()
        await asyncio.wait([*waiting, *others])
    now[0] += 1.1
    assert not admission.crowded
    assert len(await waiting_of("a", 100)) == 100
    assert len(running) == 103


async def test_work_that_gives_up_waiting_leaves_no_trace() -> None:
    admission = Admission(4, 4, 4, 0.05)
    running = [admission.admit("a") for _ in range(2)]
    assert await admission.wait("a") is None
    cancelled = asyncio.create_task(admission.wait("a"))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.wait([cancelled])
    assert not admission._waiting
    for work in running:
        assert work is not None
        admission.finish(work, answered=None)
    assert admission.in_progress == 0


async def _statuses(client: httpx.AsyncClient, number: int) -> list[httpx.Response]:
    return list(await asyncio.gather(*(client.get(PATH) for _ in range(number))))


async def _waiting(gateway: LocalGateway, number: int) -> None:
    async with asyncio.timeout(20):
        while len(gateway.kafka.asked) < number:  # noqa: ASYNC110  # the test's own double
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("keyed", [False, True])
async def test_thousands_of_waiting_requests_of_one_caller_hold_up_nobody_else(keyed: bool) -> None:
    """By address, or by key where there are keys: then all callers may come from one address, as behind a proxy."""
    gateway = local_gateway(gateway_api_keys="secret-a,secret-b" if keyed else "", gateway_deadline_sec=30)
    gateway.kafka.prompt = False
    addresses = ("10.0.0.1", "10.0.0.1") if keyed else ("10.0.0.1", "10.0.0.2")
    async with (
        gateway.client(addresses[0], headers={"x-api-key": "secret-a"}) as attacker,
        gateway.client(addresses[1], headers={"x-api-key": "secret-b"}) as honest,
    ):
        flood = asyncio.create_task(_statuses(attacker, CROWD))
        await _waiting(gateway, 103)
        served = asyncio.create_task(_statuses(honest, 10))
        await _waiting(gateway, 113)
        gateway.kafka.answer_all()
        assert [answer.status_code for answer in await served] == [200] * 10
        await asyncio.sleep(1)  # those that wait for a place give up
        gateway.kafka.answer_all()
        answers = await flood
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) >= CROWD - 103 - 256  # at least those that found no place to wait either
    assert {answer.status_code for answer in refused} == {429}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}
    assert "in progress" in refused[0].json()["detail"]


async def test_a_gateway_that_many_callers_fill_answers_503() -> None:
    gateway = local_gateway(gateway_deadline_sec=30)
    gateway.kafka.prompt = False
    clients = [gateway.client(f"10.0.{number // 200}.{number % 200}") for number in range(CROWD)]
    waiting = [asyncio.create_task(client.get(PATH)) for client in clients for _ in range(2)]
    await _waiting(gateway, 100)
    await asyncio.sleep(1.5)
    gateway.kafka.answer_all()
    answers = await asyncio.gather(*waiting)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all(answer.headers["retry-after"] == "1" and "capacity" in answer.json()["detail"] for answer in refused)
    for client in clients:
        await client.aclose()


async def test_writes_under_way_are_bounded_by_bytes_and_nothing_accepted_is_lost() -> None:
    """Kafka is slow: 2 MiB of events may be under way, and the rest is refused before its body is read."""
    gateway = local_gateway(gateway_max_pending_bytes=2 * 2**20)
    gateway.kafka.release.clear()
    batch = [{**click(), "user_id": f"u{number}", "attributes": {"note": "x" * 900}} for number in range(100)]
    async with gateway.client("10.0.0.1") as writer, gateway.client("10.0.0.2") as other:
        writes = [asyncio.create_task(writer.post("/v1/events", json=batch)) for _ in range(60)]
        await asyncio.sleep(1.5)
        small = asyncio.create_task(other.post("/v1/events", json=click()))
        await asyncio.sleep(0.2)
        gateway.kafka.release.set()
        answers = await asyncio.gather(*writes)
        assert (await small).status_code == 202
    accepted = [answer for answer in answers if answer.status_code == 202]
    refused = [answer for answer in answers if answer.status_code != 202]
    assert 0 < sum(len(answer.request.content) for answer in accepted) <= 2 * 2**20
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in refused} == {(429, "1")}
    assert len(gateway.kafka.stored) == 100 * len(accepted) + 1
