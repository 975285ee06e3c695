"""The reference pages say what the code says."""

import pytest

from eddy.paths import REPO_ROOT
from eddy_cli.reference import pages


@pytest.mark.parametrize("name", pages())
def test_a_page_is_committed_as_the_code_writes_it(name: str) -> None:
    assert (REPO_ROOT / "docs" / name).read_text() == pages()[name], "say `make docs` and commit"
