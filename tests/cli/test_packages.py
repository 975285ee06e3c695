"""The packages of the workspace: one version, complete lists of packages, and the files that the Dockerfile copies."""

import re
import tomllib
from importlib.metadata import requires
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import eddy
from eddy.paths import REPO_ROOT

FOLDERS = (
    "shared",
    *(f"services/{name}" for name in ("gateway", "features", "scorer", "joiner", "trainer")),
    "cli",
    "lab",
)


def project(folder: str) -> dict[str, Any]:
    return dict(tomllib.loads((REPO_ROOT / folder / "pyproject.toml").read_text())["project"])


def test_packages_have_and_require_one_version() -> None:
    versions = {folder: project(folder)["version"] for folder in FOLDERS}
    assert set(versions.values()) == {eddy.__version__}
    asked = [Requirement(line) for folder in FOLDERS for line in project(folder)["dependencies"]]
    own = [one for one in asked if one.name.startswith("eddy-")]
    assert own
    assert {str(one.specifier) for one in own} == {f"=={eddy.__version__}"}


def test_every_package_is_in_make_install_and_in_the_lock() -> None:
    makefile, lock = (REPO_ROOT / "Makefile").read_text(), (REPO_ROOT / "requirements" / "lock.sh").read_text()
    listed = re.search(r"^PACKAGES := (.*)$", makefile, re.MULTILINE)
    assert listed
    assert tuple(listed[1].split()) == FOLDERS
    for folder in FOLDERS:
        assert project(folder)["name"].removeprefix("eddy-") in lock


def test_the_dockerfile_copies_what_exists_and_what_dockerignore_lets_in() -> None:
    dockerfile, ignored = (REPO_ROOT / "Dockerfile").read_text(), (REPO_ROOT / ".dockerignore").read_text().splitlines()
    copied = [
        source for line in re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile, re.MULTILINE) for source in line.split()
    ]
    assert "services/${SERVICE}" in copied
    for source in copied:
        for service in ("gateway", "features", "scorer", "joiner", "trainer"):
            assert (REPO_ROOT / source.replace("${SERVICE}", service)).exists(), source
        assert f"!{source.split('/')[0]}" in ignored, source


def test_links_out_of_a_package_are_copied_into_the_image_too() -> None:
    """A package's schemas, scenarios and licence are links into the top of the repository."""
    dockerfile = (REPO_ROOT / "Dockerfile").read_text()
    links = {
        entry.resolve().relative_to(REPO_ROOT)
        for folder in FOLDERS
        for entry in (REPO_ROOT / folder).rglob("*")
        if entry.is_symlink()
    }
    assert {str(link) for link in links} == {"LICENSE", "scenarios.yaml", "schemas"}
    for link in links:
        assert re.search(rf"^COPY (.* )?{link} ", dockerfile, re.MULTILINE), link


def test_contributing_names_files_and_folders_that_exist() -> None:
    named = re.findall(r"`([\w./-]+/[\w./-]+)`", (REPO_ROOT / "CONTRIBUTING.md").read_text())
    assert "shared/eddy/contract/features.py" in named
    assert [path for path in named if not (REPO_ROOT / path).exists()] == []


def test_image_has_exactly_the_packages_of_its_service() -> None:
    heavy = {"torch", "faust-streaming", "fastapi", "onnxruntime", "scipy", "matplotlib"}
    expected = {
        "gateway": {"fastapi"},
        "features": {"faust-streaming"},
        "joiner": set(),
        "scorer": {"onnxruntime", "scipy"},
        "trainer": {"torch", "onnxruntime"},
    }
    assert {service: _installed_with(f"eddy-{service}") & heavy for service in expected} == expected


def _installed_with(package: str) -> set[str]:
    """What is installed with a package here, by the metadata of what is."""
    dependencies: set[tuple[str, str]] = set()
    waiting = [(package, "")]
    while waiting:
        one = waiting.pop()
        if one in dependencies:
            continue
        dependencies.add(one)
        for line in requires(one[0]) or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": one[1]}):
                waiting += [(canonicalize_name(needed.name), extra) for extra in ("", *needed.extras)]
    return {name for name, _ in dependencies}
