"""Checks the report of a demo: impression ledger balanced, models released while it ran, the model ahead of popularity."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eddy.errors import FatalError

MIN_RELEASES = 5


def problems(report: Mapping[str, Any], min_releases: int = MIN_RELEASES) -> list[str]:
    """The problems of a report in the layout of reports/demo.json; empty for a good one. Raises KeyError for another layout."""
    ledger, training, quality = report["ledger"], report["training"], report["quality"]
    model, popularity = quality["model"]["ndcg_at_10"], quality["popularity"]["ndcg_at_10"]
    answered = report["requests"]["count"]
    checks = {
        f"the impression ledger does not balance: {ledger}": ledger["unaccounted"] == 0
        and ledger["impressions"] == ledger["positive"] + ledger["negative"] + ledger["open"],
        "there are no impressions": ledger["impressions"] > 0,
        "no impression was labelled positive": ledger["positive"] > 0,
        f"{training['releases']} releases; expected at least {min_releases}": training["releases"] >= min_releases,
        f"the model's NDCG@10 of {model} is not ahead of popularity's {popularity}": model > popularity,
        f"only {answered} requests answered for {report['events']} events": answered >= 0.99 * report["events"],
        f"dead letters by reason: {report['dead_letters']}": not sum(report["dead_letters"].values()),
    }
    return [problem for problem, passed in checks.items() if not passed]


def check(path: Path) -> str:
    """One line about a good report. Raises FatalError with one line for a report that has problems or cannot be read."""
    try:
        errors = problems(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise FatalError(f"cannot read {path}: `eddy demo` writes it ({error})") from error
    except (KeyError, TypeError) as error:
        raise FatalError(f"{path} is not a report of this version: run `eddy demo` again ({error!r})") from error
    if errors:
        raise FatalError("; ".join(errors))
    return f"{path}: ledger balanced, at least {MIN_RELEASES} releases, model ahead of popularity"
