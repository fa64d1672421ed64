"""Carrying a request out although not all is met: in an emergency, by whom the policies name, for everybody to see."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from approvals.models import TransitionRequest
from approvals.permissions import can_bypass
from approvals.services.comments import checked_comment
from approvals.services.decisions import apply, expire_if_due, lock_pending, take_stock
from core.answers import require
from core.errors import Invalid

SHORTEST_REASON = 10  # characters


@transaction.atomic
def bypass_request(*, actor: User, review_request: TransitionRequest, reason: str) -> TransitionRequest:
    """Apply a pending request past unmet requirements, calls for changes, a freeze and its schedule; not past its end,
    nor past a policy that cannot be read. The gate asks all of this again."""
    reason = checked_reason(reason)
    locked = lock_pending(review_request)
    standing = take_stock(locked)
    require(can_bypass(actor, locked, standing))
    if not expire_if_due(locked, standing):
        apply(locked, actor=actor, standing=standing, bypass=reason)
    return locked


def checked_reason(reason: str) -> str:
    reason = checked_comment(reason)
    if len(reason) < SHORTEST_REASON:
        raise Invalid(f"Say why, in at least {SHORTEST_REASON} characters: everybody will read it.", field="reason")
    return reason
