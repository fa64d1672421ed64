"""What every page shows around its own content."""

from __future__ import annotations

from typing import Any

from django.utils.functional import SimpleLazyObject

from approvals.queries import count_waiting
from core.addresses import address
from core.counting import up_to
from web.signed_in import SignedInRequest

MOST_COUNTED = 100  # then it says "99+": the bar is on every page, and thousands may wait


def site(request: SignedInRequest) -> dict[str, Any]:
    """The navigation, with the number of requests that wait for this person. Counted only when a page shows it."""
    if not getattr(request, "user", None) or not request.user.is_authenticated:
        return {}
    more = [
        {"label": "Channels", "url": address("channels"), "icon": "bell"},
        {"label": "People", "url": address("people"), "icon": "users"},
    ]
    return {"nav": SimpleLazyObject(lambda: _nav(request)), "nav_more": more}


def _nav(request: SignedInRequest) -> list[dict[str, Any]]:
    entries = [
        ("Reviews", "reviews", "/requests/", "r"),
        ("Models", "models", "/models/", "m"),
        ("Runs", "runs", "/experiments/", "u"),
        ("Policies", "policies", "/policies/", "p"),
        ("Activity", "activity", "/activity/", "a"),
        ("Deliveries", "deliveries", "/deliveries/", "d"),
    ]
    nav = []
    for label, name, prefix, key in entries:
        url = address(name)
        active = request.path.startswith((url, prefix))
        nav.append({"label": label, "url": url, "active": active, "count": 0, "key": key})
    waiting = getattr(request, "waiting", None)  # the inbox has counted it already
    if waiting is None:
        waiting = count_waiting(MOST_COUNTED, request.user)
    nav[0]["count"] = up_to(MOST_COUNTED, waiting)
    return nav
