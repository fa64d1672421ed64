"""What the doors read about deliveries, and the address of a channel for those that show it."""

from __future__ import annotations

from django.db.models import Prefetch, QuerySet

from accounts.models import User
from accounts.permissions import is_unlimited, reads_everything
from core.crypto import decrypt
from core.errors import Conflict
from notifications.models import Attempt, Channel, Delivery


def deliveries_visible_to(user: User) -> QuerySet[Delivery]:
    """Administrators and auditors see all, others what was sent to themselves; with channel, event and tries. A token
    for some models reads nobody's mail."""
    if not is_unlimited(user):
        return Delivery.objects.none()
    rows = Delivery.objects.select_related("channel__user", "event").prefetch_related(
        Prefetch("tries", queryset=Attempt.objects.order_by("id"))
    )
    return rows if reads_everything(user) else rows.filter(channel__user=user)


def address_of(channel: Channel) -> str:
    """Empty when the key that it was encrypted with is gone: a list with such a channel can still be read, and the
    channel deleted or given its address anew."""
    try:
        return decrypt(channel.target)
    except Conflict:
        return ""
