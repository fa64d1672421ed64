"""What pages and the API read about deliveries."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from accounts.models import User
from notifications.models import Attempt, Delivery


def deliveries_visible_to(user: User) -> QuerySet[Delivery]:
    """Administrators and auditors see all, others what was sent to themselves; with channel, event and tries."""
    rows = Delivery.objects.select_related("channel__user", "event").prefetch_related(
        Prefetch("tries", queryset=Attempt.objects.order_by("id"))
    )
    return rows if user.is_superuser or user.is_auditor else rows.filter(channel__user=user)
