"""The loop in one process: decided by its inputs, a ledger that balances, and a pattern that it learns."""

import random
from collections.abc import Iterable
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.model import Columns
from eddy.contract.scenarios import load_scenarios
from eddy.contract.topics import ITEM_FEATURES, RECOMMENDATIONS, TRAINING_EXAMPLES, USER_EVENTS, USER_FEATURES
from eddy.kafka.bus import settle
from eddy.paths import REPO_ROOT
from eddy_cli.baselines import Popularity
from eddy_cli.replay.event_kind import MOVIELENS, event_kind_of
from eddy_cli.replay.player import NOT_SERVED
from eddy_cli.replay.quality import ReplayEvaluator
from eddy_cli.replay.records import ReplayRecords
from eddy_cli.replay.stream import Stream
from eddy_lab.evaluate.benchmarks.loop import run_loop
from eddy_lab.evaluate.loop import EvaluationLoop, EvaluationLoopPolicy
from eddy_lab.evaluate.play import play
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import LearnerPolicy
from eddy_trainer.core.models import DEFAULT_MODEL
from tests.cli.streams import stream
from tests.features.environment import Place
from tests.joiner.processes import all_joined, examples_of, joiners
from tests.poll import poll_until
from tests.service import read_all

pytestmark = pytest.mark.slow

ITEMS = 60
EVENTS = 2400


@pytest.fixture(scope="module")
def exporter() -> GraphExporter:
    return GraphExporter.trace(DEFAULT_MODEL, Columns())


def walks(seed: int) -> Stream:
    """Users come one after another; each walks through the items in order, from a place of their own, and stops halfway."""
    place, users, items = random.Random(seed), [], []
    for event in range(EVENTS):
        user = event // 30
        if event % 30 == 0:
            start = place.randrange(ITEMS)
        users.append(user)
        items.append((start + event % 30) % ITEMS)
    return stream(users, items, step_ms=60_000)


def evaluated(played: Stream, exporter: GraphExporter, seed: int = 0) -> BenchmarkResult:
    return run_loop(
        played, exporter, LearnerPolicy(seed), load_scenarios(REPO_ROOT / "scenarios.yaml"), Console(file=StringIO())
    )


def test_the_same_stream_and_seed_give_the_same_figures(exporter: GraphExporter) -> None:
    played = walks(0).cut(600)
    one, again, other = (evaluated(played, exporter, seed) for seed in (0, 0, 1))
    assert (one.methods, one.also) == (again.methods, again.also)
    assert one.methods != other.methods


def test_what_is_played_elsewhere_is_an_action_of_there(exporter: GraphExporter) -> None:
    scenarios, tapped = load_scenarios(REPO_ROOT / "scenarios.yaml"), []
    played = replace(walks(0).cut(600), event_kind=event_kind_of(scenarios, "social", "comment"))
    ledger = run_loop(played, exporter, LearnerPolicy(0), scenarios, Console(file=StringIO())).also["ledger"]
    assert ledger["shown"] == ledger["positive"] + ledger["negative"] + ledger["open"] == 10 * 600
    assert ledger["positive"] > 0
    assert ledger["refused"] == 0
    for shown in ([], [played.item_ids[0]]):
        (_, sent), _ = ReplayRecords("run", played.event_kind, 10, 0).action(0, "u", played.item_ids[0], 5.0, 0, shown)
        tapped.append(Codec.of("user_event").decode(sent))
    assert [(one["scenario"], one["action"], one["value"]) for one in tapped] == [
        ("social", "comment", 5.0),
        ("social", "click", None),
    ]


def test_the_ledger_balances_and_a_walk_is_learned(exporter: GraphExporter) -> None:
    learned = evaluated(walks(0), exporter)
    ledger = learned.also["ledger"]
    assert ledger["shown"] == ledger["positive"] + ledger["negative"] + ledger["open"] == 10 * EVENTS
    assert ledger["refused"] == 0
    assert learned.also["releases"] >= 5
    by_tenth = learned.methods["model"]["ndcg_at_10_by_tenth"]
    assert by_tenth[-1] > 0.8
    assert learned.methods["model"]["ndcg_at_10"] > learned.methods["popularity"]["ndcg_at_10"]


@pytest.mark.stack
async def test_services_on_kafka_make_the_same_features_and_labels_of_the_same_logs(
    exporter: GraphExporter, kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    carried: list[Message] = []
    played = walks(3).cut(900)
    policy = EvaluationLoopPolicy(lateness_sec=604_800.0)
    loop = EvaluationLoop(load_scenarios(REPO_ROOT / "scenarios.yaml"), exporter, policy, tap=carried.append)
    places = [NOT_SERVED] * len(played)
    evaluator = ReplayEvaluator(played, places, {"popularity": Popularity(len(played.item_ids))})
    play(played, loop, ReplayRecords("run", MOVIELENS, 10, 0), evaluator, places, 2048, 10**9)

    place = Place(kafka, topic_prefix, tmp_path, partitions=1)
    await place.bus.create_topics()
    async with place.bus.producer() as producer:
        for topic in (RECOMMENDATIONS, USER_EVENTS):
            own = [message for message in carried if message.topic == topic]
            await settle([await producer.send(topic, message.key, message.value) for message in own])
    environment = {"EDDY_TOPIC_PARTITIONS": "1", "EDDY_JOINER_LATENESS_SEC": str(policy.lateness_sec)}
    with place.worker() as worker, joiners(kafka, topic_prefix, tmp_path) as group:
        await worker.ready()
        await group.start("one", environment).ready()
        await poll_until(place.done, 60, what="all events in features")
        await all_joined(place.bus)
    assert await place.user_features() == _newest(carried, USER_FEATURES)
    assert await place.item_features() == _newest(carried, ITEM_FEATURES)
    found = examples_of(await read_all(place.bus, TRAINING_EXAMPLES), place.bus)
    expected = examples_of([message for message in carried if message.topic == TRAINING_EXAMPLES], place.bus)
    assert len(expected) > 1000
    assert found == expected


def _newest(carried: Iterable[Message], topic: str) -> dict[str, Record]:
    """The last record of each key."""
    newest = {message.key: message.value for message in carried if message.topic == topic}
    return {(key or b"").decode(): Codec.for_topic(topic).decode(value) for key, value in newest.items()}
