"""Where a version comes from and where it goes, laid out for templates/components/lineage.html. No queries."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.urls import reverse

from registry.gate import Target
from registry.models import ModelVersion, TargetKind

COLUMN, GAP, HEIGHT, STEP = 88, 20, 24, 38
SHOWN_SOURCES = 4
FITS = 13  # characters of a label, a wide one counting as two


@dataclass(frozen=True, slots=True)
class Box:
    """``kind`` is what it is, in a word; ``look`` is "", "this", "asked" or "missing"."""

    column: int
    row: int
    kind: str
    text: str
    url: str = ""
    look: str = ""

    @property
    def x(self) -> int:
        return self.column * (COLUMN + GAP) + 1

    @property
    def y(self) -> int:
        return self.row * STEP + 1

    @property
    def label(self) -> str:
        return shortened(self.text)

    @property
    def says(self) -> str:
        """For a screen reader and on hover: the whole text, and what it is."""
        return f"{self.kind} {self.text}".strip()


@dataclass(slots=True)
class Lineage:
    boxes: list[Box] = field(default_factory=list)
    edges: list[str] = field(default_factory=list)  # as paths

    @property
    def width(self) -> int:
        return 3 * COLUMN + 2 * GAP + 2

    @property
    def height(self) -> int:
        return max(box.y for box in self.boxes) + HEIGHT + 1

    def add(self, box: Box) -> Box:
        self.boxes.append(box)
        return box

    def join(self, left: Box, right: Box) -> None:
        """From the right side of one to the left side of the other; or downwards within a column."""
        if left.column == right.column:
            middle = left.x + COLUMN // 2
            self.edges.append(f"M{middle} {left.y + HEIGHT}V{right.y}")
            return
        start, end = left.x + COLUMN, right.x
        top, bottom = left.y + HEIGHT // 2, right.y + HEIGHT // 2
        bend = (start + end) // 2
        self.edges.append(f"M{start} {top}C{bend} {top} {bend} {bottom} {end} {bottom}")


def lineage_of(
    version: ModelVersion,
    evidence: dict[str, Any],
    *,
    asked: Target | None = None,
    replaces: ModelVersion | None = None,
) -> Lineage:
    """Data, commit, run and version; below it what it holds, or what is ``asked`` for and who holds that now."""
    drawn = Lineage()
    facts = version.get_absolute_url() + "#identity"
    run = drawn.add(_run(version, evidence, facts))
    this = drawn.add(Box(2, 0, version.model.name, f"version {version.version}", version.get_absolute_url(), "this"))
    for row, (kind, text) in enumerate(_sources(evidence)):
        source = drawn.add(Box(0, row, kind, text, facts if kind else "", "" if kind else "missing"))
        drawn.join(source, run)
    drawn.join(run, this)
    below = this
    for row, target in enumerate([asked] if asked else _held(version), start=1):
        box = Box(2, row, "Asked for" if asked else "Holds", str(target), _page(version), "asked" if asked else "")
        drawn.join(below, drawn.add(box))
        below = box
    if asked and replaces:
        text = f"version {replaces.version}"
        drawn.join(below, drawn.add(Box(2, 2, "Replaces", text, replaces.get_absolute_url())))
    return drawn


def _page(version: ModelVersion) -> str:
    return reverse("model", args=[version.model.name])


def _run(version: ModelVersion, evidence: dict[str, Any], facts: str) -> Box:
    run = evidence.get("run")
    if run:
        return Box(1, 0, "Run", run.get("run_name") or run["run_id"], facts)
    if version.run_id:
        return Box(1, 0, "Run, unknown here,", version.run_id, facts, "missing")
    return Box(1, 0, "", "no run", "", "missing")


def _sources(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """What the run was made from, as (kind, text); an empty kind says what is missing."""
    names = list(dict.fromkeys(dataset["name"] for dataset in evidence.get("datasets", [])))
    found = [("Dataset", name) for name in names]
    if len(found) > SHOWN_SOURCES:
        found = [*found[: SHOWN_SOURCES - 1], ("Datasets", f"{len(found) - SHOWN_SOURCES + 1} more")]
    if commit := evidence.get("commit"):
        found.append(("Commit", f"git {commit[:7]}"))
    return found or [("", "no data, no code")]


def _held(version: ModelVersion) -> Iterable[Target]:
    """Its stage, when that can be held by one only, and its aliases; the first few of them."""
    found = [] if version.current_stage == "None" else [Target(TargetKind.STAGE, version.current_stage)]
    return (found + [Target(TargetKind.ALIAS, alias) for alias in version.aliases])[:4]


def shortened(text: str) -> str:
    """The beginning that fits into a box, and an ellipsis; a picture cannot shorten text by itself."""
    ends: list[int] = []  # after each character, the width so far
    for character in text:
        ends.append((ends[-1] if ends else 0) + (2 if unicodedata.east_asian_width(character) in "WF" else 1))
    if not ends or ends[-1] <= FITS:
        return text
    return text[: sum(end < FITS for end in ends)] + "…"
