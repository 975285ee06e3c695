"""The recipes of CONTRIBUTING that touch the scorer, each followed once in a copy of the code: one new file, one line in the contract."""

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

CONTRACT = Path("shared/eddy/contract")
CORE = Path("services/scorer/eddy_scorer/core")

_FEATURE = '''
"""How long a candidate's id is."""

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
    """The packages `eddy` and `eddy_scorer` in a folder of their own, laid out as in the repository."""

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
        """What the script prints as JSON."""
        done = self.run(script)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    return Copy(tmp_path)


def test_feature_is_one_file_and_one_line(copy: Copy) -> None:
    (copy.root / CORE / "features/id_length.py").write_text(_FEATURE)
    copy.insert(CONTRACT / "model.py", r"FEATURES = \(", '    "id_length",  # characters of the item id')
    assert copy.result(_USE_FEATURE) == {"a": 1.0, "bcd": 3.0}


def test_feature_in_the_contract_alone_is_refused(copy: Copy) -> None:
    copy.insert(CONTRACT / "model.py", r"FEATURES = \(", '    "id_length",')
    assert "no file of eddy_scorer.core.features declares ['id_length']" in copy.run(_USE_FEATURE).stderr


def test_feature_in_a_file_alone_is_refused(copy: Copy) -> None:
    (copy.root / CORE / "features/id_length.py").write_text(_FEATURE)
    assert "FEATURES in eddy.contract.model does not list ['id_length']" in copy.run(_USE_FEATURE).stderr
