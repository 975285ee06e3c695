"""The gate on a demo catches what it is there for."""

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
    "ledger": {"shown": 100, "positive": 10, "negative": 80, "open": 10, "difference": 0},
    "training": {"releases": 5},
    "dead_letters": {},
}


def changed(*path: str, to: object) -> dict[str, Any]:
    report = copy.deepcopy(GOOD)
    place = report
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return report


def test_a_good_report_has_no_problems() -> None:
    assert problems(GOOD) == []


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (changed("ledger", "difference", to=1), "books do not balance"),
        (changed("ledger", "negative", to=79), "books do not balance"),
        (changed("ledger", "positive", to=0), "no shown item was labelled"),
        (changed("training", "releases", to=4), "only 4 releases"),
        (changed("quality", "model", "ndcg_at_10", to=0.02), "not ahead of popularity"),
        (changed("requests", "count", to=900), "900 requests were answered"),
        (changed("dead_letters", to={"undecodable": 1}), "inputs were refused"),
    ],
)
def test_a_bad_report_says_what_is_wrong(report: dict[str, Any], said: str) -> None:
    assert any(said in problem for problem in problems(report))


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (json.dumps(GOOD), 0, "books balanced"),
        (json.dumps(changed("ledger", "difference", to=1)), 1, "eddy check-report: the books"),
        ("{}", 1, "not a report of this version"),
        ("", 1, "cannot read"),
    ],
)
@pytest.mark.broker
def test_check_report_exits_with_what_it_found(text: str, code: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "demo.json"
    path.write_text(text)
    with command(["-m", "eddy_cli", "check-report", str(path)]) as running:
        assert running.finish() == code
        assert said in running.output
        assert len(running.output.splitlines()) == 1
