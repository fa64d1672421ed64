"""What a request would change: the version asked for beside the one it is compared with, for the review page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from approvals.models import TransitionRequest
from approvals.policy import MetricRule, Node
from approvals.standing import Standing
from registry.comparison import compare
from registry.evidence import known_of
from web.pages.verdicts import Shown


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One line of the comparison; ``passed`` is None where no policy asks for anything."""

    name: str
    before: float | None
    after: float | None
    change: float | None
    is_better: bool | None
    minimum: float | None
    maximum: float | None
    needed: str
    passed: bool | None


def changes_of(review_request: TransitionRequest, standing: Standing, shown: Shown) -> dict[str, Any]:
    """The version asked for against who holds the target: as pinned once closed, as of now while open."""
    baseline = standing.known.baseline if review_request.is_pending else review_request.baseline
    before = known_of(baseline) if baseline else None
    compared = compare(before, review_request.evidence.data)
    rules = {
        rule.name: rule
        for judged in standing.rules
        if judged.read is not None
        for rule in judged.read.requirements
        if isinstance(rule, MetricRule)
    }
    rows = [_metric_row(c.name, c.before, c.after, rules.get(c.name), shown.metric(c.name)) for c in compared.metrics]
    # What stops it first, then what a policy asks for, then what can be compared at all.
    rows.sort(key=lambda row: (row.passed is not False, row.passed is None, row.change is None, row.name))
    return {"compared": compared, "metrics": rows}


def _metric_row(
    name: str, before: float | None, after: float | None, rule: MetricRule | None, node: Node | None
) -> MetricRow:
    change = after - before if after is not None and before is not None else None
    minimum = rule.min.value if rule and rule.min else None
    maximum = rule.max.value if rule and rule.max else None
    lower_is_better = maximum is not None and minimum is None
    is_better = None if not change else (change < 0) == lower_is_better
    known_direction = rule is not None
    return MetricRow(
        name=name,
        before=before,
        after=after,
        change=change,
        is_better=is_better if known_direction else None,
        minimum=minimum,
        maximum=maximum,
        needed=node.needed if node else "",
        passed=node.passes if node else None,
    )
