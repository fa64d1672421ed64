"""Carrying a request out although not all is met: in an emergency, by whom the policies name, for everybody to see."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from approvals.models import TransitionRequest
from approvals.permissions import can_bypass
from approvals.pins import Pins
from approvals.services.comments import checked_comment
from approvals.services.decisions import apply, check_seen, lock_pending, look_again, take_stock
from core.answers import require
from core.errors import Invalid
from registry.permissions import can_read

SHORTEST_REASON = 10  # characters


def bypass_request(*, actor: User, review_request: TransitionRequest, reason: str, seen: str) -> TransitionRequest:
    """Apply a pending request past unmet requirements, calls for changes, a freeze and its schedule; not past its end,
    nor past a policy that cannot be read, nor on anything else than ``seen`` names. The gate asks the rights again."""
    reason, saw = checked_reason(reason), Pins.from_token(seen)
    require(can_read(actor, review_request.model))
    look_again(review_request)
    with transaction.atomic():
        locked = lock_pending(review_request)
        standing = take_stock(locked)
        require(can_bypass(actor, locked, standing))
        check_seen(locked, standing, saw)
        apply(locked, actor=actor, standing=standing, bypass=reason)
        return locked


def checked_reason(reason: str) -> str:
    reason = checked_comment(reason)
    if len(reason) < SHORTEST_REASON:
        raise Invalid(f"Say why, in at least {SHORTEST_REASON} characters: everybody will read it.", field="reason")
    return reason
