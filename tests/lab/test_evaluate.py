"""The loop in one process: reproducible, with a balanced impression ledger, and able to learn a pattern."""

from collections.abc import Iterable
from dataclasses import replace
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from eddy.contract.codec import Codec, Record
from eddy.contract.message import Message
from eddy.contract.scenarios import Scenarios, load_scenarios
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
from eddy_lab.evaluate.child_process import PRELOADED
from eddy_lab.evaluate.loop import EvaluationLoop, EvaluationLoopPolicy
from eddy_lab.evaluate.play import play
from eddy_lab.evaluate.result import BenchmarkResult
from eddy_trainer.core.graphs import GraphExporter
from eddy_trainer.core.learner import LearnerPolicy
from tests.features.environment import FeaturesCluster
from tests.joiner.processes import all_joined, examples_of, joiners
from tests.lab.factories import EVENTS, walks
from tests.service import read_all

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def scenarios() -> Scenarios:
    return load_scenarios(REPO_ROOT / "scenarios.yaml")


def evaluate(stream: Stream, exporter: GraphExporter, scenarios: Scenarios, seed: int = 0) -> BenchmarkResult:
    return run_loop(stream, exporter, LearnerPolicy(seed), scenarios, Console(file=StringIO()))


def assert_balanced(ledger: dict[str, int], impressions: int) -> None:
    assert ledger["impressions"] == ledger["positive"] + ledger["negative"] + ledger["open"] == impressions
    assert ledger["positive"] > 0
    assert ledger["refused"] == 0


def test_equal_streams_and_seeds_give_equal_figures(exporter: GraphExporter, scenarios: Scenarios) -> None:
    stream = walks(0, 600)
    first, second, other_seed = (evaluate(stream, exporter, scenarios, seed) for seed in (0, 0, 1))
    assert (first.methods, first.details) == (second.methods, second.details)
    assert first.methods != other_seed.methods


def test_events_are_actions_of_the_scenario_they_are_played_in(exporter: GraphExporter, scenarios: Scenarios) -> None:
    stream = replace(walks(0, 600), event_kind=event_kind_of(scenarios, "social", "comment"))
    assert_balanced(evaluate(stream, exporter, scenarios).details["ledger"], impressions=10 * 600)
    item_id, events = stream.item_ids[0], []
    for slate in ([], [item_id]):
        (_, payload), _ = ReplayRecords("run", stream.event_kind, 10, 0).action(0, "u", item_id, 5.0, 0, slate)
        events.append(Codec.of("user_event").decode(payload))
    assert [(event["scenario"], event["action"], event["value"]) for event in events] == [
        ("social", "comment", 5.0),
        ("social", "click", None),
    ]


def test_the_impression_ledger_balances_and_a_walk_is_learned(exporter: GraphExporter, scenarios: Scenarios) -> None:
    result = evaluate(walks(0), exporter, scenarios)
    assert_balanced(result.details["ledger"], impressions=10 * EVENTS)
    assert result.details["releases"] >= 5
    assert result.methods["model"]["ndcg_at_10_by_tenth"][-1] > 0.8
    assert result.methods["model"]["ndcg_at_10"] > result.methods["popularity"]["ndcg_at_10"]


@pytest.mark.stack
async def test_services_on_kafka_derive_the_same_features_and_examples_from_the_same_logs(
    exporter: GraphExporter, scenarios: Scenarios, kafka: str, topic_prefix: str, tmp_path: Path
) -> None:
    messages: list[Message] = []
    stream = walks(3, 900)
    policy = EvaluationLoopPolicy(lateness_sec=604_800.0)
    loop = EvaluationLoop(scenarios, exporter, policy, tap=messages.append)
    positions = [NOT_SERVED] * len(stream)
    evaluator = ReplayEvaluator(stream, positions, {"popularity": Popularity(len(stream.item_ids))})
    play(stream, loop, ReplayRecords("run", MOVIELENS, 10, 0), evaluator, positions, 2048, 10**9)

    cluster = FeaturesCluster(kafka, topic_prefix, tmp_path, partitions=1)
    await cluster.bus.create_topics()
    async with cluster.bus.producer() as producer:
        for topic in (RECOMMENDATIONS, USER_EVENTS):
            of_topic = [message for message in messages if message.topic == topic]
            await settle([await producer.send(topic, message.key, message.value) for message in of_topic])
    environment = {"EDDY_TOPIC_PARTITIONS": "1", "EDDY_JOINER_LATENESS_SEC": str(policy.lateness_sec)}
    with cluster.worker() as worker, joiners(kafka, topic_prefix, tmp_path) as group:
        await worker.ready()
        await group.start("one", environment).ready()
        await cluster.drained(60)
        await all_joined(cluster.bus)
    assert await cluster.user_features() == _newest(messages, USER_FEATURES)
    assert await cluster.item_features() == _newest(messages, ITEM_FEATURES)
    on_kafka = examples_of(await read_all(cluster.bus, TRAINING_EXAMPLES), cluster.bus)
    in_process = examples_of([message for message in messages if message.topic == TRAINING_EXAMPLES], cluster.bus)
    assert len(in_process) > 1000
    assert on_kafka == in_process


def _newest(messages: Iterable[Message], topic: str) -> dict[str, Record]:
    """The last record of each key."""
    newest = {message.key: message.value for message in messages if message.topic == topic}
    return {(key or b"").decode(): Codec.for_topic(topic).decode(value) for key, value in newest.items()}


def test_modules_preloaded_for_child_processes_exist() -> None:
    for name in PRELOADED:
        import_module(name)
