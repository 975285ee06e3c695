"""A harness for each test that starts scorers."""

from pathlib import Path

import pytest

from tests.scorer.running import ScorerHarness


@pytest.fixture
async def harness(kafka: str, topic_prefix: str, tmp_path: Path) -> ScorerHarness:
    """Topics of two partitions on a real broker."""
    created = ScorerHarness(kafka, topic_prefix, tmp_path)
    await created.bus.create_topics()
    return created
