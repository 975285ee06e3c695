"""A place for each test that starts scorers."""

from pathlib import Path

import pytest

from tests.scorer.running import Place


@pytest.fixture
async def place(kafka: str, topic_prefix: str, tmp_path: Path) -> Place:
    """Topics of two partitions on a real broker."""
    found = Place(kafka, topic_prefix, tmp_path)
    await found.bus.create_topics()
    return found
