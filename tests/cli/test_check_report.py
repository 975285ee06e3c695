"""`eddy check-report` accepts a good report and names what is wrong with a bad one."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from eddy_cli.check_report import problems
from tests.cli.processes import command

GOOD: dict[str, Any] = {
    "events": 1000,
    "requests": {"count": 1000},
    "quality": {"model": {"ndcg_at_10": 0.1}, "popularity": {"ndcg_at_10": 0.02}},
    "ledger": {"impressions": 100, "positive": 10, "negative": 80, "open": 10, "unaccounted": 0},
    "training": {"releases": 5},
    "dead_letters": {},
}


def changed(*path: str, to: object) -> dict[str, Any]:
    report = copy.deepcopy(GOOD)
    section = report
    for name in path[:-1]:
        section = section[name]
    section[path[-1]] = to
    return report


def test_good_report_has_no_problems() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("report", "problem"),
    [
        (changed("ledger", "unaccounted", to=1), "ledger does not balance"),
        (changed("ledger", "negative", to=79), "ledger does not balance"),
        (changed("ledger", "positive", to=0), "no impression was labelled"),
        (changed("training", "releases", to=4), "4 releases; expected at least 5"),
        (changed("quality", "model", "ndcg_at_10", to=0.02), "not ahead of popularity"),
        (changed("requests", "count", to=900), "only 900 requests answered for 1000 events"),
        (changed("dead_letters", to={"undecodable": 1}), "dead letters by reason"),
    ],
)
def test_bad_report_has_a_problem(report: dict[str, Any], problem: str) -> None:
    assert any(problem in text for text in problems(report))


@pytest.mark.parametrize(
    ("text", "code", "output"),
    [
        (json.dumps(GOOD), 0, "ledger balanced"),
        (json.dumps(changed("ledger", "unaccounted", to=1)), 1, "eddy check-report: the impression ledger"),
        ("{}", 1, "not a report of this version"),
        ("", 1, "cannot read"),
    ],
)
@pytest.mark.broker
def test_check_report_prints_one_line_and_sets_the_exit_code(text: str, code: int, output: str, tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text(text)
    with command(["-m", "eddy_cli", "check-report", str(path)]) as running:
        assert running.finish() == code
        assert output in running.output
        assert len(running.output.splitlines()) == 1
