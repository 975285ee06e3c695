"""`eddy replay` against the real services: a folder of events gives a report."""

import json
import random
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from eddy_cli.ports import free_port
from tests.cli.processes import command
from tests.service import running

pytestmark = pytest.mark.stack

SERVICES = ("features", "scorer", "joiner")
USERS, ITEMS, EVENTS = 12, 40, 400
WALKED = 2400


def write_ratings(folder: Path) -> Path:
    """A small MovieLens-100K: users with a taste for every third item."""
    source = random.Random(5)
    seen: set[tuple[int, int]] = set()
    lines = []
    while len(lines) < EVENTS:
        user = source.randrange(USERS)
        item = min(int(source.expovariate(0.08)) * 3 + user % 3, ITEMS * 3 - 1)
        if (user, item) not in seen:
            seen.add((user, item))
            lines.append(f"{user}\t{item}\t{source.randint(1, 5)}\t{880_000_000 + 20 * len(lines)}\n")
    (folder / "u.data").write_text("".join(lines))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_ratings(tmp_path)


@pytest.fixture
def environment(kafka: str, topic_prefix: str, tmp_path: Path) -> dict[str, str]:
    ports = {service: free_port() for service in SERVICES}
    urls = {service: f"http://127.0.0.1:{port}" for service, port in ports.items()}
    return {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": topic_prefix,
        "EDDY_STATE_DIR": str(tmp_path / "state"),
        "EDDY_JOINER_LATENESS_SEC": "86400",
        "EDDY_REPLAY_JOINER_URL": urls["joiner"],
        "EDDY_REPLAY_READY_URLS": ",".join(f"{service}={url}" for service, url in urls.items()),
        **{f"EDDY_{service.upper()}_HTTP_PORT": str(port) for service, port in ports.items()},
    }


@pytest.fixture
def services(environment: dict[str, str], tmp_path: Path) -> Iterator[None]:
    with ExitStack() as stack:
        for service in SERVICES:
            stack.enter_context(running(service, environment, tmp_path / f"{service}.log"))
        yield


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("role", [[], ["--scenario", "social", "--action", "comment"]])
def test_two_replays_have_balanced_ledgers(
    environment: dict[str, str], folder: Path, tmp_path: Path, role: list[str]
) -> None:
    output = tmp_path / "reports" / "demo"
    arguments = ["-m", "eddy_cli", "replay", "--data", str(folder), "--output", str(output), *role]
    with command(arguments, environment) as replay:
        assert replay.finish(timeout_sec=180) == 0, replay.output
    report = json.loads(output.with_suffix(".json").read_text())
    assert report["events"] == report["requests"]["count"] == EVENTS
    ledger = report["ledger"]
    assert ledger["unaccounted"] == 0
    assert ledger["impressions"] == ledger["positive"] + ledger["negative"] + ledger["open"] > 0
    assert ledger["positive"] > 0
    assert report["training"]["examples"] > 0
    assert report["freshness"]["event_to_recommendations_ms"]["p50"] > 0
    assert report["quality"]["model"]["hr_at_10"] > 0
    assert report["dead_letters"] == {}
    assert output.with_suffix(".png").exists()
    assert "co-visitation" in replay.output
    # What the first one left open is not the second one's.
    with command(arguments, environment) as replay:
        assert replay.finish(timeout_sec=180) == 0, replay.output
    again = json.loads(output.with_suffix(".json").read_text())["ledger"]
    assert again["unaccounted"] == 0
    assert again["open"] <= again["impressions"]


def write_walks(folder: Path) -> Path:
    """Users one after another; each interacts with the items in order, from a start that differs by user."""
    source, start, lines = random.Random(7), 0, []
    for event in range(WALKED):
        user, step = divmod(event, 30)
        start = source.randrange(60) if step == 0 else start
        lines.append(f"{user}\t{(start + step) % 60}\t4\t{880_000_000 + 60 * event}\n")
    (folder / "u.data").write_text("".join(lines))
    return folder


@pytest.mark.usefixtures("services")
def test_live_loop_and_evaluation_agree(environment: dict[str, str], tmp_path: Path) -> None:
    """The same slice through Kafka and in one process. Live releases come by the clock, so figures agree within a tolerance."""
    data, output = write_walks(tmp_path), tmp_path / "live"
    with running("trainer", environment, tmp_path / "trainer.log") as trainer:
        ready = f"{environment['EDDY_REPLAY_READY_URLS']},trainer=http://127.0.0.1:{trainer.port}"
        played = ["--data", str(data), "--output", str(output), "--rate", "100"]
        with command(["-m", "eddy_cli", "replay", *played], {**environment, "EDDY_REPLAY_READY_URLS": ready}) as replay:
            assert replay.finish(timeout_sec=240) == 0, replay.output
    with command(
        ["-m", "eddy_cli", "evaluate", "loop", "--data", str(data), "--output", str(tmp_path)], {}
    ) as evaluation:
        assert evaluation.finish(timeout_sec=240) == 0, evaluation.output
    live = json.loads(output.with_suffix(".json").read_text())
    offline = json.loads(next(tmp_path.glob("loop-*.json")).read_text())
    actual, expected = live["quality"]["model"], offline["methods"]["model"]
    for metric in ("ndcg_at_10", "hr_at_10"):
        assert actual[metric] == pytest.approx(expected[metric], abs=0.08)
    assert expected["ndcg_at_10"] > 0.8
    ledger, in_process = live["ledger"], offline["details"]["ledger"]
    assert ledger["unaccounted"] == in_process["refused"] == 0
    assert ledger["impressions"] == pytest.approx(in_process["impressions"], rel=0.02)
    assert ledger["positive"] == pytest.approx(in_process["positive"], rel=0.1)


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"EDDY_KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "eddy replay: no Kafka at 127.0.0.1:1"),
        (
            {"EDDY_REPLAY_READY_URLS": "scorer=http://127.0.0.1:1"},
            "eddy replay: scorer is not ready at http://127.0.0.1:1",
        ),
        ({"EDDY_REPLAY_JOINER_ULR": "x"}, "eddy replay: unknown setting EDDY_REPLAY_JOINER_ULR"),
    ],
)
def test_failed_start_is_one_line(
    environment: dict[str, str], folder: Path, changed: dict[str, str], line: str
) -> None:
    arguments = ["-m", "eddy_cli", "replay", "--data", str(folder), "--ready-within", "0.5"]
    with command(arguments, {**environment, **changed}) as replay:
        assert replay.finish() == 1
    assert line in replay.output
    assert "Traceback" not in replay.output
