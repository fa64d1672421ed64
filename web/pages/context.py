"""What every page shows around its own content."""

from __future__ import annotations

from typing import Any

from django.core.cache import cache
from django.http import HttpRequest
from django.urls import reverse
from django.utils.functional import SimpleLazyObject

from accounts.models import User
from approvals.queries import waiting_on
from notifications.models import Event

COUNT_LIFETIME = 300  # seconds; a new event outdates it at once


def site(request: HttpRequest) -> dict[str, Any]:
    """The navigation, with the number of requests that wait for this person. Counted only when a page shows it."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    more = [{"label": "Channels", "url": reverse("channels"), "icon": "bell"}]
    return {"nav": SimpleLazyObject(lambda: _nav(request)), "nav_more": more}


def _nav(request: HttpRequest) -> list[dict[str, Any]]:
    entries = [
        ("Reviews", "reviews", "/requests/"),
        ("Models", "models", "/models/"),
        ("Policies", "policies", "/policies/"),
        ("Deliveries", "deliveries", "/deliveries/"),
    ]
    nav = []
    for label, name, prefix in entries:
        url = reverse(name)
        active = request.path.startswith((url, prefix))
        nav.append({"label": label, "url": url, "active": active, "count": 0})
    nav[0]["count"] = _waiting_count(request.user)
    return nav


def _waiting_count(user: User) -> int:
    """Kept until something happens: whatever changes whose turn it is records an event."""
    last = Event.objects.order_by("-id").values_list("id", flat=True).first()
    return cache.get_or_set(f"waiting:{user.pk}:{last}", lambda: waiting_on(user).count(), COUNT_LIFETIME) or 0
