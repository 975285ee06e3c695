"""Slates and ranking features are what they were when `tests/scorer/golden` was recorded.

`python -m tests.scorer.test_golden` records anew, after a change that is meant to change them.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from eddy.contract.codec import Record
from eddy.contract.columns import resolve
from eddy.contract.features import FEATURE_ALIASES
from eddy.contract.model import FEATURES
from tests.scorer.world import slates

_GOLDEN = Path(__file__).parent / "golden"
_FEATURES = _GOLDEN / "features.npz"
_SLATES = _GOLDEN / "slates.json"

# Of float16: another processor's exp and matrix product may round the last bit otherwise.
_MAX_ULP = 1
_MAX_SHARE_ROUNDED = 0.001


def _matrix(record: Record) -> "np.ndarray[tuple[int, int], np.dtype[np.float16]]":
    return np.frombuffer(record["features"], "<f2").reshape(-1, len(FEATURES))


def _slate(record: Record) -> dict[str, Any]:
    columns = ("item_id", "source", "reason")
    return {
        "considered": record["considered"],
        "items": [[entry[name] for name in columns] for entry in record["items"]],
        "propensities": [round(entry["propensity"], 9) for entry in record["items"]],
    }


def test_slates_are_as_recorded() -> None:
    assert [_slate(record) for record in slates()] == json.loads(_SLATES.read_text())


def test_features_are_as_recorded_under_present_or_former_names() -> None:
    golden = np.load(_FEATURES)
    names, expected = resolve(golden["names"].tolist(), FEATURE_ALIASES), golden["values"]
    assert set(names) <= set(FEATURES)
    columns = [FEATURES.index(name) for name in names]
    computed = np.concatenate([_matrix(record)[:, columns] for record in slates()])
    np.testing.assert_array_max_ulp(computed, expected, _MAX_ULP)
    assert (computed != expected).mean() <= _MAX_SHARE_ROUNDED


def _record() -> None:
    _GOLDEN.mkdir(exist_ok=True)
    records = slates()
    values = np.concatenate([_matrix(record) for record in records])
    np.savez_compressed(_FEATURES, names=np.array(FEATURES), values=values)
    lines = ",\n".join(json.dumps(_slate(record), separators=(",", ":")) for record in records)
    _SLATES.write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    _record()
