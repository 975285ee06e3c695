"""A real browser for tests: the Chromium of this machine, headless."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from eddy_cli.doctor.machine import BROWSERS

# It is to talk to nobody but the page's server.
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


@contextmanager
def browser(**options: Any) -> Iterator[Browser]:
    """Skips the test where there is no Chromium; where CI says so, that is a failure."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("no Chromium here: install your system's package")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=[*QUIET], **options)
        try:
            yield opened
        finally:
            opened.close()
