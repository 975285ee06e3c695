"""A scorer's memory does not grow with the releases that it activates."""

from pathlib import Path

import psutil
import pytest

from tests.scorer.graphs import encode_graph, rank_graph, release
from tests.scorer.test_release_activator import Activating

pytestmark = pytest.mark.slow

SWAPS = 1000
WARM_UP_SWAPS = 200
MAX_GROWTH_MB = 16


async def test_memory_is_flat_over_a_thousand_swaps(tmp_path: Path) -> None:
    scorer, process, baseline_bytes = Activating(tmp_path), psutil.Process(), 0
    graphs = {"encode": encode_graph(), "rank": rank_graph()}
    for version in range(1, SWAPS + 1):
        await scorer.offer(release(version, **graphs))
        await scorer.activator.activate_next()
        assert scorer.recommender.model_version == version
        if version == WARM_UP_SWAPS:
            baseline_bytes = process.memory_info().rss
    growth = (process.memory_info().rss - baseline_bytes) / 2**20
    assert growth < MAX_GROWTH_MB, f"{growth:.1f} MB more after {SWAPS - WARM_UP_SWAPS} releases"
