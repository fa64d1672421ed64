"""The cast as plain facts: mira asks, alice (risk) and dkim (ml-leads) review, sam is in both teams, ci-bot reports."""

from __future__ import annotations

from typing import Any

from approvals.policy import Baseline, Dataset, Facts, Metric, Policy, ReviewFact, ReviewVerdict, parse

MIRA, ALICE, DKIM, SAM, NOOR = 1, 2, 3, 4, 5
NAMES = {MIRA: "mira", ALICE: "alice", DKIM: "dkim", SAM: "sam", NOOR: "noor"}
TEAMS = {ALICE: {"risk"}, DKIM: {"ml-leads"}, SAM: {"risk", "ml-leads"}}
MEMBERS = {"risk": {ALICE: "alice", SAM: "sam"}, "ml-leads": {DKIM: "dkim", SAM: "sam"}}

HEAD = """\
name: gate
match: {models: ["*"]}
guards: [stage:Production]
"""


def policy(*requirements: str, more: str = "") -> Policy:
    """A policy with these requirements, each as YAML: ``metric: {name: auc, min: 0.9}``."""
    lines = "".join(f"  - {requirement}\n" for requirement in requirements)
    return parse(f"{HEAD}requirements:\n{lines}{more}")


def facts(**known: Any) -> Facts:
    start: dict[str, Any] = {
        "model_name": "churn-predictor",
        "version": 3,
        "target": "Production",
        "requester": MIRA,
        "requester_name": "mira",
        "team_members": MEMBERS,
    }
    return Facts(**(start | known))


def metrics(**values: float) -> dict[str, Metric]:
    return {name: Metric(value) for name, value in values.items()}


def baseline(version: int = 2, **values: float) -> Baseline:
    return Baseline(version, metrics(**values))


def evaluated_on(*names: str, digest: str = "d1", context: str = "evaluation") -> tuple[Dataset, ...]:
    return tuple(Dataset(name, digest, context) for name in names)


def review(person: int, verdict: ReviewVerdict, **more: Any) -> ReviewFact:
    return ReviewFact(person, NAMES[person], verdict, frozenset(TEAMS.get(person, ())), **more)


def approve(person: int, **more: Any) -> ReviewFact:
    return review(person, ReviewVerdict.APPROVE, **more)


def ask_for_changes(person: int, **more: Any) -> ReviewFact:
    return review(person, ReviewVerdict.REQUEST_CHANGES, **more)


def reject(person: int, **more: Any) -> ReviewFact:
    return review(person, ReviewVerdict.REJECT, **more)
