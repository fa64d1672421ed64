"""Versions of a model beside one another: which they are, and what has to be read beside their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import Invalid, NotFound
from registry.dependencies import dependencies_of
from registry.evidence import known_of
from registry.models import ModelVersion, RegisteredModel
from registry.side_by_side import Part, side_by_side

MOST = 5


@dataclass(frozen=True, slots=True)
class Compared:
    """``problems`` says in sentences what could not be read."""

    parts: list[Part]
    problems: list[str]


def versions_to_compare(model: RegisteredModel, numbers: Sequence[int]) -> list[ModelVersion]:
    """With their evidence and who made them, in this order, each once."""
    asked = list(dict.fromkeys(numbers))
    if len(asked) > MOST:
        raise Invalid(f"At most {MOST} versions are compared at once; {len(asked)} were named.", field="version")
    rows = ModelVersion.objects.live().filter(model=model, version__in=asked).select_related("evidence", "user")
    found = {version.version: version for version in rows}
    for version in found.values():
        version.model = model
    if missing := [number for number in asked if number not in found]:
        raise NotFound(f"{model} has no version {missing[0]}.")
    return [found[number] for number in asked]


def compared(
    versions: Sequence[ModelVersion],
    *,
    only_differences: bool = False,
    kind: str = "",
    containing: str = "",
    start: int = 0,
) -> Compared:
    """What is known of each, by part; with ``kind`` one of them alone, as in ``side_by_side``."""
    needed = dependencies_of(versions) if kind in ("", "packages") else []
    known = [{**known_of(version), "version_tags": version.tags} for version in versions]
    for what, found in zip(known, needed, strict=False):
        what["packages"] = found.packages or {}
    parts = side_by_side(known, only_differences=only_differences, kind=kind, containing=containing, start=start)
    return Compared(parts, [found.problem for found in needed if found.problem][:1])
