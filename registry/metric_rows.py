"""The metrics of versions as rows beside the evidence that says them: written where the current evidence of a version
changes, read to sort the versions of a model and to draw them. Each row can be made again from the evidence."""

from __future__ import annotations

import sys
from collections.abc import Collection
from functools import cache
from typing import Any, NamedTuple

from core.prepared import Many, Prepared, put
from registry.comparison import EvidenceData
from registry.models import ModelVersion, RegisteredModel, VersionMetric

AT_ONCE = 1000  # rows of one statement: five values each, of which SQLite takes 32,766


def figures_of(known: EvidenceData) -> dict[str, float]:
    """The metrics that are numbers. Infinity is none, which is kept as the largest double."""
    values = {
        name: float(entry["value"]) for name, entry in known.get("metrics", {}).items()
    }  # float: of "NaN" as well
    return {name: value for name, value in values.items() if abs(value) < sys.float_info.max}


def metric_rows(version: ModelVersion, figures: dict[str, float]) -> list[VersionMetric]:
    return [
        VersionMetric(model_id=version.model_id, version_id=version.pk, number=version.version, name=name, value=value)
        for name, value in figures.items()
    ]


def write_metric_rows(version: ModelVersion, *, before: EvidenceData, after: EvidenceData) -> None:
    """In the transaction that changes the evidence of the version: what differs, and nothing else, is written."""
    old, new = figures_of(before), figures_of(after)
    rows = metric_rows(version, {name: value for name, value in new.items() if old.get(name) != value})
    for start in range(0, len(rows), AT_ONCE):
        put(rows[start : start + AT_ONCE], unique=["version", "name"], update=["value"])
    gone = sorted(old.keys() - new.keys())
    for start in range(0, len(gone), AT_ONCE):
        VersionMetric.objects.filter(version=version, name__in=gone[start : start + AT_ONCE]).delete()


# From the versions, which are few: by the rows' own model and numbers, a plan for whatever names reads all its metrics.
_HISTORY = Prepared(
    lambda model, names, after, newest: (
        VersionMetric.objects.filter(
            version__model=model,
            version__version__gt=after,
            version__version__lte=newest,
            version__deleted_at=None,
            name__in=names,
        )
        .order_by("name", "number")
        .values_list("name", "number", "value")
    ),
    *(int, Many(str), int, int),
)


def metric_history(
    model: RegisteredModel, names: Collection[str], *, last: int, until: int | None = None
) -> dict[str, list[tuple[int, float]]]:
    """By metric, (number, value) of the live versions among the ``last`` numbers up to ``until``, by default all, the
    oldest first. One statement, whatever the number of metrics; every name has an entry."""
    found: dict[str, list[tuple[int, float]]] = {name: [] for name in names}
    newest = model.last_version if until is None else until
    for name, number, value in _HISTORY.all(model.pk, list(found), newest - last, newest):
        found[name].append((number, value))
    return found


class Point(NamedTuple):
    number: int
    value: float
    created: int  # milliseconds


@cache
def _newest(most: int) -> Prepared[Any]:
    return Prepared(
        lambda model, name, until: (
            VersionMetric.objects.filter(model=model, name=name, number__lte=until, version__deleted_at=None)
            .order_by("-number")
            .values_list("number", "value", "version__creation_timestamp")[:most]
        ),
        *(int, str, int),
    )


def metric_points(model: RegisteredModel, name: str, *, until: int | None, most: int) -> tuple[list[Point], bool]:
    """The last values of a metric, of live versions up to ``until``, the oldest first; and whether there are earlier
    ones."""
    found = [
        Point(*row) for row in _newest(most + 1).all(model.pk, name, model.last_version if until is None else until)
    ]
    return found[:most][::-1], len(found) > most
