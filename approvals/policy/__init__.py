"""Policies as plain Python: a text is parsed, facts are gathered elsewhere, a verdict comes out. No database here."""

from __future__ import annotations

from approvals.policy.document import (
    SCAN,
    ApprovalsRule,
    CheckRule,
    DescriptionRule,
    Guard,
    Match,
    MetricRule,
    Policy,
    Requirement,
    Reviews,
    RunRule,
    ScanRule,
    SignatureRule,
    TagsRule,
)
from approvals.policy.evaluate import combine, evaluate, unreadable
from approvals.policy.facts import (
    UNREAD,
    Baseline,
    CheckFact,
    CheckStatus,
    Dataset,
    Facts,
    Metric,
    ReviewFact,
    ReviewVerdict,
    RunFact,
    ScanFact,
)
from approvals.policy.globs import matches
from approvals.policy.moments import begins_between, ends_between, scheduled
from approvals.policy.reading import parse, parse_published
from approvals.policy.rules import evaluated_on
from approvals.policy.source import Number, PolicyError, Problem, listed
from approvals.policy.verdict import Node, Status, Verdict
from approvals.policy.wording import moment, sentences, span

__all__ = [
    "SCAN",
    "UNREAD",
    "ApprovalsRule",
    "Baseline",
    "CheckFact",
    "CheckRule",
    "CheckStatus",
    "Dataset",
    "DescriptionRule",
    "Facts",
    "Guard",
    "Match",
    "Metric",
    "MetricRule",
    "Node",
    "Number",
    "Policy",
    "PolicyError",
    "Problem",
    "Requirement",
    "ReviewFact",
    "ReviewVerdict",
    "Reviews",
    "RunFact",
    "RunRule",
    "ScanFact",
    "ScanRule",
    "SignatureRule",
    "Status",
    "TagsRule",
    "Verdict",
    "begins_between",
    "combine",
    "ends_between",
    "evaluate",
    "evaluated_on",
    "listed",
    "matches",
    "moment",
    "parse",
    "parse_published",
    "scheduled",
    "sentences",
    "span",
    "unreadable",
]
