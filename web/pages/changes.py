"""What a request would change: the version asked for beside the one it is compared with, for the review page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.urls import reverse

from approvals.models import TransitionRequest
from approvals.policy import MetricRule, Node
from approvals.standing import Standing, evaluated_on
from core.keyset import number_in
from registry.comparison import Changed, EvidenceData, compare
from registry.evidence import known_of
from registry.metric_rows import metric_history
from registry.models import ModelVersion
from web.pages.evidence import SHARED, Asked, Subject, asked_of, tabbed
from web.pages.verdicts import Shown

TABS = ("summary", *SHARED, "description")
MOST_METRICS = 20  # rows; all of them are on the page that compares
DRAWN = 20  # versions of a sparkline


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One line of the comparison; ``passed`` is None where no policy asks for anything, ``is_better`` where none says
    which way is better. ``other_data``: the two were measured on different datasets. ``trend``: (number, value) over
    the versions up to this one."""

    name: str
    before: float | None
    after: float | None
    change: float | None
    is_better: bool | None
    minimum: float | None
    maximum: float | None
    needed: str
    passed: bool | None
    other_data: bool
    trend: tuple[tuple[int, float], ...] = ()

    @property
    def relative(self) -> float:
        """How far it moved, as a part of what it was."""
        if not self.change:
            return 0.0
        return abs(self.change) / (abs(self.before or 0.0) or 1.0)

    @property
    def rank(self) -> tuple[Any, ...]:
        """What stops it, what got worse, what a policy asks for, then what moved most."""
        worse = self.is_better is False
        return (
            self.passed is not False,
            not worse,
            -self.relative if worse else 0.0,
            self.passed is None,
            -self.relative,
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """A version that this one can be compared with; ``query`` is of the address that does."""

    version: int
    what: str
    query: str
    is_shown: bool


def changes_of(
    review_request: TransitionRequest, standing: Standing, shown: Shown, query: Mapping[str, str]
) -> dict[str, Any]:
    """The version asked for against who holds the target, as pinned once closed, as of now while open; or against
    another version that the address names (``against``)."""
    holder = standing.known.baseline if review_request.is_pending else review_request.baseline
    baseline, error = _baseline(review_request, holder, query.get("against", ""))
    asked = asked_of(query, TABS, kept=("against",) if baseline != holder else ())
    version, after = review_request.version, review_request.evidence.data
    before = known_of(baseline) if baseline else None
    rows = _metric_rows(standing, shown, before, after)
    worst = rows[:MOST_METRICS]
    trends = metric_history(review_request.model, [row.name for row in worst], last=DRAWN, until=version.version)
    return {
        "holder": holder,
        "baseline": baseline,
        "is_other": baseline != holder,
        "error": error,
        "choices": _choices(review_request, holder, baseline, asked),
        "metrics": [replace(row, trend=tuple(trends[row.name])) for row in worst],
        "metric_count": len(rows),
        "other_data": _other_data(before, after),
        "compared": compare(before, after) if asked.tab == "summary" else None,
        "tabbed": tabbed(
            Subject(version, after, baseline, before),
            asked,
            TABS,
            url=review_request.get_absolute_url(),
            part=reverse("request_changes", args=[review_request.pk]),
            into="changes",
        ),
    }


def _baseline(
    review_request: TransitionRequest, holder: ModelVersion | None, against: str
) -> tuple[ModelVersion | None, str]:
    """The version that the address names, or the holder; and why it is not the one that was named."""
    if not against or (holder and against == str(holder.version)):
        return holder, ""
    number = number_in(against, digits=9) or 0
    if number == review_request.version.version:
        return holder, f"This is about version {number} itself: choose another one to compare it with."
    versions = ModelVersion.objects.live().filter(model=review_request.model_id, version=number)
    found = versions.select_related("evidence").first() if number else None
    if found is None:
        return holder, f"{review_request.model.name} has no version {against[:20]} to compare with."
    found.model = review_request.model
    return found, ""


def _choices(
    review_request: TransitionRequest, holder: ModelVersion | None, baseline: ModelVersion | None, asked: Asked
) -> list[Choice]:
    target, number = review_request.asks_for, review_request.version.version
    past = "" if review_request.is_pending else " then"
    known = {holder.version: f"{'holds' if not past else 'held'} {target}{past or ' now'}"} if holder else {}
    if last := review_request.version_before:
        known.setdefault(last, f"last approved for {target}, by request {review_request.applied_before}")
    if baseline and baseline.version not in known and baseline.version != number:
        known[baseline.version] = "chosen"
    return [
        Choice(
            version,
            what,
            asked.query(tab=asked.tab, against=version if holder is None or version != holder.version else ""),
            is_shown=baseline is not None and baseline.version == version,
        )
        for version, what in known.items()
    ]


def _other_data(before: EvidenceData | None, after: EvidenceData) -> tuple[str, str] | None:
    """The names of the datasets that each was evaluated on, where they differ: such metrics do not compare."""
    if before is None:
        return None
    old, new = evaluated_on(before), evaluated_on(after)
    if not old or not new or old == new:
        return None
    return tuple(", ".join(sorted(f"{name} ({digest})" for name, digest in data)) for data in (old, new))  # type: ignore[return-value]


def _metric_rows(standing: Standing, shown: Shown, before: EvidenceData | None, after: EvidenceData) -> list[MetricRow]:
    """The worst first."""
    rules = {asked.name: asked for rule in standing.rules for asked in rule.metrics}
    measured_on = [_measured_on(known) for known in (before or {}, after)]
    rows = [
        _metric_row(change, rules.get(change.name), shown.metric(change.name), measured_on)
        for change in compare(before, after).metrics
    ]
    return sorted(rows, key=lambda row: row.rank)


def _measured_on(known: EvidenceData) -> dict[str, str]:
    return {name: entry.get("dataset", "") for name, entry in known.get("metrics", {}).items()}


def _metric_row(
    metric: Changed, rule: MetricRule | None, node: Node | None, measured_on: list[dict[str, str]]
) -> MetricRow:
    change = metric.after - metric.before if metric.after is not None and metric.before is not None else None
    lower_is_better = rule.lower_is_better if rule else None
    datasets = {found[metric.name] for found in measured_on if found.get(metric.name)}
    return MetricRow(
        name=metric.name,
        before=metric.before,
        after=metric.after,
        change=change,
        is_better=None if not change or lower_is_better is None else (change < 0) == lower_is_better,
        minimum=rule.min.value if rule and rule.min else None,
        maximum=rule.max.value if rule and rule.max else None,
        needed=node.needed if node else "",
        passed=node.passes if node else None,
        other_data=len(datasets) > 1,
    )
