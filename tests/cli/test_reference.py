"""The reference pages are up to date with the code."""

import pytest

from eddy.paths import REPO_ROOT
from eddy_cli.reference import pages


@pytest.mark.parametrize("name", pages())
def test_page_equals_the_generated_one(name: str) -> None:
    assert (REPO_ROOT / "docs" / name).read_text() == pages()[name], "say `make docs` and commit"
