"""Relative links of all pages resolve, to file and heading; prose lines are short."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from eddy.paths import REPO_ROOT

SKIPPED = {".venv", ".data", ".state", ".cache", "reports", "node_modules", ".git"}
PAGES = sorted(page for page in REPO_ROOT.rglob("*.md") if not SKIPPED.intersection(page.relative_to(REPO_ROOT).parts))
LINK = re.compile(r"\]\(([^)\s]+)\)|^\[[^\]]+\]: (\S+)$", re.MULTILINE)
LONGEST_LINE = 129


def prose(text: str) -> str:
    """The page without its code blocks and spans, in which brackets are no links."""
    return re.sub(r"`[^`\n]*`", "``", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


def anchors(text: str) -> set[str]:
    """Anchors of the headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> Iterator[str]:
    """The links of a page that lead nowhere."""
    for inline, reference in LINK.findall(prose(page.read_text())):
        target, _, anchor = (inline or reference).partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file.read_text())):
            yield inline or reference


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO_ROOT)))
def test_every_relative_link_resolves(page: Path) -> None:
    assert not list(broken(page))


def test_a_missing_file_and_a_missing_anchor_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One: two\n[a](page.md#one-two) [b](#one-two) [c](gone.md) [d](page.md#three)\n`[e](code)`\n\n[f]: gone.png\n"
    )
    assert list(broken(page)) == ["gone.md", "page.md#three", "gone.png"]


def test_glossary_terms_are_in_alphabetical_order() -> None:
    terms = re.findall(r"^### (.+)$", (REPO_ROOT / "docs" / "glossary.md").read_text(), re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)
    assert len(terms) > 50


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO_ROOT)))
def test_prose_lines_are_short(page: Path) -> None:
    lines = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL).splitlines()
    assert [
        line for line in lines if len(line) > LONGEST_LINE and line[:1] not in ("|", "[") and "](" not in line
    ] == []
