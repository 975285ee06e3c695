"""The joiner as a process on a real Kafka: poison, a frozen owner, idle partitions and latency."""

import signal
import statistics
import time
from collections import Counter
from pathlib import Path

import pytest

from eddy.contract.scenarios import load_scenarios
from eddy.contract.topics import RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS
from eddy.kafka.bus import Bus
from eddy.settings import Settings
from eddy_joiner.settings import JoinerSettings
from tests.joiner.factories import EVENTS, SEC, SLATES, event_record, random_activity, slate_record
from tests.joiner.processes import (
    all_joined,
    bus_of,
    by_partition,
    dead_letters,
    examples_of,
    expected_examples,
    feed,
    joiners,
    written,
)
from tests.joiner.simulation import EXAMPLES
from tests.poll import poll_until
from tests.service import Service, read_all

pytestmark = pytest.mark.stack

NOW = 1_790_000_000_000


async def test_poison_on_both_topics_is_dead_lettered_and_does_not_stop_the_stream(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    bus = bus_of(kafka, topic_prefix)
    await bus.create_topics()
    good = slate_record("r1", "u", ["a", "b"], NOW)
    short = slate_record("r2", "u", ["a", "b"], NOW)
    short["features"] = short["features"][:-1]
    elsewhere = slate_record("r3", "u", ["a"], NOW, scenario="nowhere")
    slates = [
        b"",
        b"noise",
        SLATES.encode(good)[:-3],
        SLATES.encode(short),
        SLATES.encode(elsewhere),
        EVENTS.encode(event_record("e", "u", "click", NOW, "a")),
        SLATES.encode(good),
    ]
    events = [
        b"noise",
        b"\xc3\x01 and more",
        EVENTS.encode(event_record("e1", "u", "dance", NOW, "a")),
        EVENTS.encode(event_record("e2", "u", "click", NOW * 2, "a")),
        EVENTS.encode(event_record("e3", "u", "impression", NOW, request_id="r1")),
        SLATES.encode(good),
        EVENTS.encode(event_record("e4", "u", "click", NOW + 1, "a", request_id="r1")),
        EVENTS.encode(event_record("e5", "u", "impression", NOW + 1, request_id="never served")),
        EVENTS.encode(event_record("e6", "u", "search", NOW + 2000 * SEC)),
    ]
    # Windows of a replay close once another user has reached their end.
    other = next(name for name in map(str, range(1000)) if bus.partition_of(name) == bus.partition_of("u"))
    end = EVENTS.encode(event_record("e7", other, "search", NOW + 2000 * SEC))
    async with bus.producer() as producer:
        await producer.send_all(RECOMMENDATIONS, [("u", payload) for payload in slates])
        await producer.send_all(USER_EVENTS, [*(("u", payload) for payload in events), (other, end)])
    with joiners(kafka, topic_prefix, tmp_path) as group:
        joiner = group.start("one")
        await all_joined(bus)
        examples = examples_of(await read_all(bus, TRAINING_EXAMPLES), bus)
        details = await joiner.ready()
        assert joiner.metric("eddy_dead_letters_total") == 8
        assert joiner.metric("eddy_joiner_skipped_total") == 4
        assert joiner.metric("eddy_joiner_impressions_total") == joiner.metric("eddy_joiner_labels_total") == 2
    assert examples.keys() == {"r1/a/label", "e4/next", "r1/negatives/1"}
    letters = await dead_letters(bus)
    assert {letter["service"] for letter in letters} == {"joiner"}
    assert Counter((bus.short_name(letter["source_topic"]), letter["reason"]) for letter in letters) == {
        (RECOMMENDATIONS, "undecodable"): 4,
        (RECOMMENDATIONS, "bad_features"): 1,
        (RECOMMENDATIONS, "unknown_scenario"): 1,
        (USER_EVENTS, "timestamp_ahead"): 1,
        (USER_EVENTS, "unknown_request"): 1,
    }
    payloads = [letter["payload"] for letter in letters]
    assert sorted(payloads) == sorted([*slates[:6], events[3], events[7]])
    partition = str(bus.partition_of("u"))
    # The partition is idle by now, so the watermark may be a little beyond the last event.
    assert details["partitions"][partition]["open"] == 0
    assert NOW / 1000 + 2000 <= details["partitions"][partition]["watermark"] < NOW / 1000 + 2060


async def test_a_frozen_owner_that_wakes_up_writes_nothing_twice(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """It wakes up in the middle of its work on partitions that belong to another instance by then."""
    bus = bus_of(kafka, topic_prefix)
    await bus.create_topics()
    activities = by_partition(bus, random_activity(11, steps=1_500, users=100))
    with joiners(kafka, topic_prefix, tmp_path) as group:
        frozen = group.start("frozen")
        await frozen.ready()
        await feed(bus, activities, 0, 3)
        before = await written(bus)
        await poll_until(lambda: _grown(bus, before), 60, 0.02, "examples of the first part")
        frozen.process.send_signal(signal.SIGSTOP)
        heir = group.start("heir")
        await heir.ready()
        await feed(bus, activities, 1, 3)
        await all_joined(bus)
        frozen.process.send_signal(signal.SIGCONT)
        await feed(bus, activities, 2, 3)
        await all_joined(bus)
        await frozen.ready()
    examples = examples_of(await read_all(bus, TRAINING_EXAMPLES), bus)
    assert examples == await expected_examples(activities)


async def test_idle_windows_close_and_survive_a_restart(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """No event follows the impression; the owner is killed during the attribution window."""
    scenarios = tmp_path / "scenarios.yaml"
    scenarios.write_text(
        Settings().scenarios_path.read_text().replace("attribution_window_sec: 1800", "attribution_window_sec: 8")
    )
    assert load_scenarios(scenarios)["video"].attribution_window_sec == 8
    bus = bus_of(kafka, topic_prefix)
    await bus.create_topics()
    async with bus.producer() as producer:
        await producer.send_all(RECOMMENDATIONS, [("u", SLATES.encode(slate_record("r1", "u", ["a", "b"], NOW)))])
        event = event_record("e1", "u", "impression", NOW, request_id="r1")
        await producer.send_all(USER_EVENTS, [("u", EVENTS.encode(event))])
    overrides = {"EDDY_SCENARIOS_PATH": str(scenarios), "EDDY_JOINER_IDLE_COMMIT_SEC": "0.5"}
    with joiners(kafka, topic_prefix, tmp_path) as group:
        first = group.start("one", overrides)
        watermark = await _watermark_beyond(bus, first, NOW / 1000 + 2)
        first.kill()
        second = group.start("one", overrides)
        restarted = (await second.ready())["partitions"][str(bus.partition_of("u"))]
        assert restarted["open"] == 2
        assert restarted["watermark"] > watermark - 2
        messages = await poll_until(lambda: read_all(bus, TRAINING_EXAMPLES), 60, what="committed negatives")
    assert examples_of(messages, bus).keys() == {"r1/negatives/0"}


async def test_a_click_is_labelled_within_two_transaction_intervals(
    kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    """The bound is loose because the machine is shared; the benchmark measures the latency."""
    bus = bus_of(kafka, topic_prefix)
    await bus.create_topics()
    items = [f"i{number}" for number in range(30)]
    with joiners(kafka, topic_prefix, tmp_path) as group:
        await group.start("one").ready()
        async with bus.producer() as producer, bus.reader(bus.topic_partitions(TRAINING_EXAMPLES)) as reader:
            await producer.send_all(RECOMMENDATIONS, [("u", SLATES.encode(slate_record("r1", "u", items, NOW)))])
            impression = event_record("e", "u", "impression", NOW, request_id="r1")
            await producer.send_all(USER_EVENTS, [("u", EVENTS.encode(impression))])
            latencies = []
            for number, item in enumerate(items):
                click = event_record(f"c{number}", "u", "click", NOW + 1, item, request_id="r1")
                started = time.perf_counter()
                await producer.send_all(USER_EVENTS, [("u", EVENTS.encode(click))])
                messages = await poll_until(lambda: reader.batch(1000), 20, what="a label")
                latencies.append(time.perf_counter() - started)
                assert {EXAMPLES.decode(message.value)["event_id"] for message in messages} == {f"c{number}"}
    assert statistics.median(latencies) < 2 * JoinerSettings().joiner_transaction_interval_sec + 0.2


async def _grown(bus: Bus, before: int) -> bool:
    return await written(bus) > before


async def _watermark_beyond(bus: Bus, joiner: Service, seconds: float) -> float:
    partition = str(bus.partition_of("u"))

    async def watermark() -> float | None:
        current = float((await joiner.ready())["partitions"][partition]["watermark"])
        return current if current > seconds else None

    reached = await poll_until(watermark, 30, what="a moving watermark of an idle partition")
    assert reached is not None
    return reached
