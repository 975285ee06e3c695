"""Boards and alerts: the committed files are up to date, and a real Prometheus of the running stack answers every query."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import yaml

from eddy.metrics import FORMER_HOPS, FORMER_NAMES, HOPS
from eddy.paths import REPO_ROOT
from eddy_cli.boards import BOARDS, as_json, with_former_names
from eddy_cli.ports import HOST
from eddy_cli.prometheus import Prometheus, binary, running_prometheus
from tests.cli.processes import command
from tests.cli.test_replay_loop import write_ratings
from tests.service import running_together

OBSERVABILITY = REPO_ROOT / "observability"
SERVICES = ("features", "joiner", "scorer", "trainer", "gateway")
QUERIES = [
    pytest.param(query, id=f"{name}: {panel.title}: {legend}")
    for name, board in BOARDS.items()
    for panels in board.rows.values()
    for panel in panels
    for legend, query in panel.queries.items()
]


@pytest.mark.parametrize("name", BOARDS)
def test_boards_equal_the_generated_ones(name: str) -> None:
    assert (OBSERVABILITY / "boards" / f"{name}.json").read_text() == as_json(name, BOARDS[name]), (
        "say `make boards` and commit"
    )


@pytest.mark.parametrize("name", BOARDS)
def test_queries_of_a_panel_have_different_legends(name: str) -> None:
    panels = [panel for panel in json.loads(as_json(name, BOARDS[name]))["panels"] if panel["type"] != "row"]
    assert panels
    for panel in panels:
        letters = [target["refId"] for target in panel["targets"]]
        assert all(letters)
        assert len(set(letters)) == len(letters)


def test_renamed_metrics_are_queried_by_both_names_series_by_series() -> None:
    query = "sum by (scenario) (rate(eddy_scorer_slates_total[1m])) + eddy_joiner_open_impressions"
    assert with_former_names(query) == (
        "sum by (scenario) ((rate(eddy_scorer_slates_total[1m]) or rate(eddy_scorer_lists_total[1m])))"
        " + (eddy_joiner_open_impressions or eddy_joiner_open_items)"
    )
    assert with_former_names("rate(eddy_records_total[1m])") == "rate(eddy_records_total[1m])"


def test_every_query_of_a_renamed_metric_or_hop_has_its_former_name_too() -> None:
    assert set(FORMER_HOPS) < set(HOPS)
    texts = [(OBSERVABILITY / "boards" / f"{name}.json").read_text() for name in BOARDS]
    queries = [
        target["expr"] for text in texts for panel in json.loads(text)["panels"] for target in panel.get("targets", ())
    ]
    (group,) = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())["groups"]
    queries += [rule["expr"] for rule in group["rules"]]
    for new, former in FORMER_NAMES.items() | FORMER_HOPS.items():
        for query in queries:
            assert query.count(new) == query.count(former), query
    assert any(former in query for query in queries for former in FORMER_NAMES.values())
    assert any(former in query for query in queries for former in FORMER_HOPS.values())


@pytest.mark.broker
def test_alerts_fire() -> None:
    for arguments in (["test", "rules", "alerts.test.yml"], ["check", "config", "prometheus.yml"]):
        done = subprocess.run(
            [binary("promtool"), *arguments], check=False, cwd=OBSERVABILITY, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tested_and_has_a_runbook() -> None:
    (group,) = yaml.safe_load((OBSERVABILITY / "alerts.yml").read_text())["groups"]
    tested = (OBSERVABILITY / "alerts.test.yml").read_text()
    operating = (REPO_ROOT / "docs" / "operating.md").read_text()
    sections = {
        re.sub(r"\W+", "-", title.lower()).strip("-") for title in re.findall(r"^#+ (.*)$", operating, re.MULTILINE)
    }
    for rule in group["rules"]:
        assert f"alertname: {rule['alert']}" in tested
        page, _, section = rule["annotations"]["runbook"].partition("#")
        assert page == "docs/operating.md"
        assert section in sections


@pytest.fixture(scope="module")
def prometheus(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """One that has watched the five services while a few users were played through them."""
    folder = tmp_path_factory.mktemp("boards")
    environment = {
        "EDDY_KAFKA_BOOTSTRAP_SERVERS": kafka,
        "EDDY_TOPIC_PREFIX": f"boards-{time.time_ns()}.",
        "EDDY_STATE_DIR": str(folder / "state"),
    }
    joiner = {"EDDY_JOINER_LATENESS_SEC": "86400"}
    with ExitStack() as stack:
        services = stack.enter_context(running_together(SERVICES, environment, folder, joiner=joiner))
        at = {name: f"{HOST}:{service.port}" for name, service in services.items()}
        started = stack.enter_context(running_prometheus(at, folder))
        arguments = [
            "-m",
            "eddy_cli",
            "replay",
            "--data",
            str(write_ratings(folder)),
            "--rate",
            "20",
            "--output",
            str(folder / "report"),
        ]
        replay = {
            "EDDY_REPLAY_JOINER_URL": f"http://{at['joiner']}",
            "EDDY_REPLAY_READY_URLS": ",".join(f"{name}=http://{address}" for name, address in at.items()),
        }
        with command(arguments, environment | replay) as played:
            assert played.finish(timeout_sec=180) == 0, played.output
        for _ in range(8):
            services["gateway"].ask("GET", "/v1/recommendations/u?scenario=video&limit=5")
            time.sleep(1)
        yield started


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.stack
def test_every_panel_has_data(prometheus: Prometheus, query: str) -> None:
    series = prometheus.query(query)
    assert series
    assert any(one["value"][1] != "NaN" for one in series)


@pytest.mark.stack
def test_coverage_and_gini_of_recommended_items(prometheus: Prometheus) -> None:
    for metric in ("eddy_scorer_catalogue_coverage", "eddy_scorer_exposure_gini"):
        (series,) = prometheus.query(f'{metric}{{scenario="video"}}')
        assert 0 < float(series["value"][1]) <= 1
