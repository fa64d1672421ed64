"""The lock files name packages and hashes, never a place to get them from, and agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

FOLDER = Path(settings.BASE_DIR) / "requirements"
LOCK_FILES = sorted(FOLDER.glob("*.txt"))


def pins(name: str) -> dict[str, set[str]]:
    """Package to its locked versions; more than one where they depend on the Python."""
    found: dict[str, set[str]] = {}
    for package, version in re.findall(r"^([\w.-]+)==([^\s;]+)", (FOLDER / name).read_text(), re.MULTILINE):
        found.setdefault(package, set()).add(version)
    return found


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.name)
def test_a_lock_file_names_no_place(path: Path) -> None:
    places = [
        line
        for line in path.read_text().splitlines()
        if re.search(r"https?://|file:|--index|--extra-index|--find", line)
    ]

    assert places == []


@pytest.mark.parametrize("path", LOCK_FILES, ids=lambda path: path.name)
def test_every_locked_package_has_a_hash(path: Path) -> None:
    entries = re.split(r"^(?=\w)", path.read_text(), flags=re.MULTILINE)[1:]

    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_what_is_tested_is_what_runs() -> None:
    run, test = pins("run.txt"), pins("test.txt")

    assert {package: versions for package, versions in run.items() if test.get(package) != versions} == {}
