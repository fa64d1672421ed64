"""Every write of this room."""

from __future__ import annotations

from approvals.services.by_target import review_requests_for, withdraw_request_of
from approvals.services.bypass import bypass_request
from approvals.services.checks import report_check
from approvals.services.comments import (
    add_comment,
    delete_comment,
    edit_comment,
    reopen_thread,
    resolve_thread,
)
from approvals.services.decisions import reconsider
from approvals.services.policies import archive_policy, publish_policy
from approvals.services.requests import (
    mark_ready,
    open_request,
    request_after_refusal,
    request_rollback,
    reschedule_request,
    withdraw_request,
)
from approvals.services.reviewers import ask_for_review, note_look, recuse, step_in_again, withdraw_ask
from approvals.services.reviews import submit_review

__all__ = [
    "add_comment",
    "archive_policy",
    "ask_for_review",
    "bypass_request",
    "delete_comment",
    "edit_comment",
    "mark_ready",
    "note_look",
    "open_request",
    "publish_policy",
    "reconsider",
    "recuse",
    "reopen_thread",
    "report_check",
    "request_after_refusal",
    "request_rollback",
    "reschedule_request",
    "resolve_thread",
    "review_requests_for",
    "step_in_again",
    "submit_review",
    "withdraw_ask",
    "withdraw_request",
    "withdraw_request_of",
]
