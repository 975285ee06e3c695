"""The first slate of a release observes activation delay and loop delay, once."""

import pytest
from prometheus_client import REGISTRY

from eddy_scorer.shell.freshness import Freshness


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("versions", "activations", "loops"), [([(1, 0)], 1, 0), ([(1, 500)], 1, 1), ([(1, 500), (2, 500)], 2, 1)]
)
def test_the_first_slate_of_a_release_is_observed_once(
    versions: list[tuple[int, int]], activations: int, loops: int
) -> None:
    before = value("eddy_loop_hop_seconds_count", hop="activation_delay"), value("eddy_loop_seconds_count")
    total = value("eddy_loop_seconds_sum")
    freshness = Freshness()
    for version, acted_at in versions:
        freshness.release_activated(version, 1000, acted_at)
        freshness.slate_published(version - 1, 1100)
        freshness.slate_published(version, 1500)
        freshness.slate_published(version, 9999)
    after = value("eddy_loop_hop_seconds_count", hop="activation_delay"), value("eddy_loop_seconds_count")
    assert (after[0] - before[0], after[1] - before[1]) == (activations, loops)
    assert value("eddy_loop_seconds_sum") - total == pytest.approx(loops * 1.0)
