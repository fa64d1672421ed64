"""/reviews/: the inbox. What waits for me, what I asked for, all that is open, what was decided."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from approvals.models import TransitionRequest
from approvals.standing import Standing, standings_of
from registry.comparison import compare
from web.signed_in import SignedInRequest

PAGE_SIZE = 25
TABS = (("waiting", "Waiting on me"), ("mine", "My requests"), ("open", "All open"), ("decided", "Decided"))


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    tab = request.GET.get("tab", "waiting")
    tab = tab if tab in dict(TABS) else "waiting"
    rows = _requests(request, tab)
    before = request.GET.get("before", "")
    if before.isdigit() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows.with_rows().order_by("-pk")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    tabs = [{"label": label, "url": f"?tab={key}", "active": key == tab, "count": None} for key, label in TABS]
    context = {
        "tab": tab,
        "tabs": tabs,
        "rows": [_row(item, standing) for item, standing in zip(shown, standings_of(shown), strict=True)],
        "before": shown[-1].pk if len(found) > PAGE_SIZE else None,
        "is_first_page": not before,
    }
    return render(request, "reviews/index.html", context)


def _requests(request: SignedInRequest, tab: str) -> Any:
    visible = TransitionRequest.objects.visible_to(request.user)
    if tab == "mine":
        return visible.filter(requester=request.user)
    if tab == "open":
        return visible.pending()
    if tab == "decided":
        return visible.decided()
    return TransitionRequest.objects.waiting_on(request.user)


def _row(item: TransitionRequest, standing: Standing) -> dict[str, Any]:
    met, total = standing.verdict.counts
    return {
        "request": item,
        "met": met,
        "total": total,
        "sentence": standing.verdict.sentence if item.is_pending else item.closed_reason,
        "worst": _worst_change(standing) if item.is_pending else None,
    }


def _worst_change(standing: Standing) -> Any:
    """The metric that fell most against the holder of the target, relative to what it was; None when none fell."""
    baseline = standing.known.baseline
    version = standing.known.question.version
    if baseline is None or baseline.evidence is None or version.evidence is None:
        return None
    compared = compare(baseline.evidence.data, version.evidence.data).metrics
    fallen = [c for c in compared if c.before and c.after is not None and c.after < c.before]
    return min(fallen, key=lambda c: (c.after - c.before) / abs(c.before), default=None)
