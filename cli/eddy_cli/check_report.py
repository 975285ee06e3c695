"""The gate on a demo: books balanced, models released while it ran, the model ahead of popularity."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eddy.errors import FatalError

MIN_RELEASES = 5


def problems(report: Mapping[str, Any], min_releases: int = MIN_RELEASES) -> list[str]:
    """What does not hold in a report of the layout of reports/demo.json; empty when all does. Raises KeyError for another layout."""
    ledger, training, quality = report["ledger"], report["training"], report["quality"]
    model, popularity = quality["model"]["ndcg_at_10"], quality["popularity"]["ndcg_at_10"]
    checks = {
        f"the books do not balance: {ledger}": ledger["difference"] == 0
        and ledger["shown"] == ledger["positive"] + ledger["negative"] + ledger["open"],
        "nothing was shown": ledger["shown"] > 0,
        "no shown item was labelled positive": ledger["positive"] > 0,
        f"only {training['releases']} releases, not {min_releases}": training["releases"] >= min_releases,
        f"the model's NDCG@10 of {model} is not ahead of popularity's {popularity}": model > popularity,
        f"of {report['events']} events, {report['requests']['count']} requests were answered": report["requests"][
            "count"
        ]
        >= 0.99 * report["events"],
        f"inputs were refused: {report['dead_letters']}": not sum(report["dead_letters"].values()),
    }
    return [problem for problem, holds in checks.items() if not holds]


def check(path: Path) -> str:
    """One line for a report that holds. Raises FatalError, one line, for one that does not, or that cannot be read."""
    try:
        found = problems(json.loads(path.read_text()))
    except (OSError, ValueError) as error:
        raise FatalError(f"cannot read {path}: `eddy demo` writes it ({error})") from error
    except (KeyError, TypeError) as error:
        raise FatalError(f"{path} is not a report of this version: run `eddy demo` again ({error!r})") from error
    if found:
        raise FatalError("; ".join(found))
    return f"{path}: books balanced, at least {MIN_RELEASES} releases, model ahead of popularity"
