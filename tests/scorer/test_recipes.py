"""The recipes of CONTRIBUTING for the scorer, each followed in a copy of the code: one new file, one line in the contract."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from eddy.paths import REPO_ROOT

pytestmark = pytest.mark.broker  # starts commands

CONTRACT = Path("shared/eddy/contract")
CORE = Path("services/scorer/eddy_scorer/core")

_FEATURE = '''
"""Length of a candidate's id."""

import numpy as np

from eddy_scorer.core.features.context import FeatureContext
from eddy_scorer.core.features.feature import feature
from eddy_scorer.core.state.arrays import F32


@feature
def id_length(context: FeatureContext) -> F32:
    """Characters of the item id."""
    ids = context.catalogue.ids
    return np.array([[len(ids[row]) for row in rows] for rows in context.rows.tolist()], np.float32)
'''

_SOURCE = '''
"""Items by the first letter of their id."""

import numpy as np

from eddy_scorer.core.ranking.context import BatchContext
from eddy_scorer.core.sources.source import MergedSource
from eddy_scorer.core.state.arrays import I64


class InitialSource(MergedSource):
    """Items whose id begins with an x, by row."""

    name = "initial"

    def find(self, context: BatchContext, quota: int) -> I64:
        rows = [row for row, item_id in enumerate(context.state.catalogue.ids) if item_id.startswith("x")]
        return np.tile(np.array(rows[:quota], np.int64), (len(context.batch), 1))
'''

_SOURCE_LINE = '    CandidateSource("initial", "begins with x", quota=2, flagged=True),'

_USE_SOURCE = """
import json

import numpy as np
from eddy.contract.scenarios import CandidateQuotas
from eddy_cli.reference import _metrics
from eddy_scorer.core.ranking.recommender import Recommender
from eddy_scorer.shell.source_metrics import SourceMetrics
from eddy_scorer.shell.slate_publisher import _count
from prometheus_client import generate_latest
from tests.scorer.factories import features_of, item, item_features, recommend, request, scenarios

engine = Recommender(scenarios(), np.random.default_rng(0), monitor=SourceMetrics())
for number in range(90):
    engine.apply_item(item(f"m{number}"))
    engine.apply_item_features(item_features(f"m{number}", acted=9.0 + number))
for name in ("x1", "x2", "x3"):
    engine.apply_item(item(name, published_at=1))
(record,) = recommend(engine, request(limit=70))
_count([record])
entries = {entry["item_id"]: entry for entry in record["items"]}
print(json.dumps({
    "source and reason": [[entries[name]["source"], entries[name]["reason"]] for name in ("x1", "x2")],
    "quota": sum(entry["source"] == "initial" for entry in record["items"]),
    "flag": [features_of(record, name)["from_initial"] for name in ("x1", "m89")],
    "setting": [CandidateQuotas().initial, CandidateQuotas(initial=7).initial],
    "metrics": [line for line in generate_latest().decode().splitlines() if 'source="initial"' in line and "_created" not in line
                and ("slate_items" in line or "source_seconds_count" in line)],
    "documented": any("`initial`" in line for line in _metrics()),
}))
"""

_FEATURE_LINE = '    NamedColumn("id_length", "Characters of the item id."),'

_USE_FEATURE = """
import json
from tests.scorer.factories import features_of, item, recommend, recommender, request

engine = recommender()
for name in ("a", "bcd"):
    engine.apply_item(item(name))
(record,) = recommend(engine, request())
print(json.dumps({name: features_of(record, name)["id_length"] for name in ("a", "bcd")}))
"""


class Copy:
    """A copy of the packages `eddy` and `eddy_scorer`, laid out as in the repository."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for package in (Path("shared/eddy"), Path("services/scorer/eddy_scorer")):
            shutil.copytree(REPO_ROOT / package, root / package, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("schemas", "scenarios.yaml"):
            (root / name).symlink_to(REPO_ROOT / name)

    def insert(self, file: Path, after: str, line: str) -> None:
        """Insert a line after the one that `after` matches."""
        path = self.root / file
        text, count = re.subn(rf"(?m)^{after}\n", lambda match: f"{match.group()}{line}\n", path.read_text())
        assert count == 1, f"{after!r} matches {count} lines of {file}"
        path.write_text(text)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        path = [self.root / "shared", self.root / "services/scorer", REPO_ROOT]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env=environment, cwd=self.root, check=False
        )

    def result(self, script: str) -> Any:
        """The JSON that the script prints."""
        done = self.run(script)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_feature_is_one_file_and_one_line(copy: Copy) -> None:
    (copy.root / CORE / "features/id_length.py").write_text(_FEATURE)
    copy.insert(CONTRACT / "features.py", r"DECLARED_FEATURES = \(", _FEATURE_LINE)
    assert copy.result(_USE_FEATURE) == {"a": 1.0, "bcd": 3.0}


def test_feature_in_the_contract_alone_is_refused(copy: Copy) -> None:
    copy.insert(CONTRACT / "features.py", r"DECLARED_FEATURES = \(", _FEATURE_LINE)
    assert "no file of eddy_scorer.core.features declares ['id_length']" in copy.run(_USE_FEATURE).stderr


def test_feature_in_a_file_alone_is_refused(copy: Copy) -> None:
    (copy.root / CORE / "features/id_length.py").write_text(_FEATURE)
    assert "DECLARED_FEATURES in eddy.contract.features does not list ['id_length']" in copy.run(_USE_FEATURE).stderr


def test_source_is_one_file_and_one_line(copy: Copy) -> None:
    (copy.root / CORE / "sources/initial.py").write_text(_SOURCE)
    copy.insert(CONTRACT / "sources.py", r"CANDIDATE_SOURCES = \(", _SOURCE_LINE)
    assert copy.result(_USE_SOURCE) == {
        "source and reason": [["initial", "begins with x"]] * 2,
        "quota": 2,
        "flag": [1.0, 0.0],
        "setting": [2, 7],
        "metrics": [
            'eddy_scorer_slate_items_total{scenario="video",source="initial"} 2.0',
            'eddy_scorer_source_seconds_count{source="initial"} 1.0',
        ],
        "documented": True,
    }


def test_source_in_the_contract_alone_is_refused(copy: Copy) -> None:
    copy.insert(CONTRACT / "sources.py", r"CANDIDATE_SOURCES = \(", _SOURCE_LINE)
    assert "no file of eddy_scorer.core.sources defines ['initial']" in copy.run(_USE_SOURCE).stderr


def test_source_in_a_file_alone_is_refused(copy: Copy) -> None:
    (copy.root / CORE / "sources/initial.py").write_text(_SOURCE)
    expected = "CANDIDATE_SOURCES in eddy.contract.sources does not list ['initial']"
    assert expected in copy.run(_USE_SOURCE).stderr
