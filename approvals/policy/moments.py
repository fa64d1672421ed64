"""Moments that a change waits for: time clears them, and nobody else."""

from __future__ import annotations

from datetime import datetime

from approvals.policy.verdict import Node, Status, Verdict
from approvals.policy.wording import moment


def scheduled(not_before: datetime, now: datetime) -> Verdict | None:
    """What a request waits for that names the moment of its carrying out; None once that has come."""
    if now >= not_before:
        return None
    reason = f"It is carried out not before {moment(not_before, beside=now)}."
    return Verdict(Node(kind="schedule", title="schedule", status=Status.WAITING, reason=reason))
