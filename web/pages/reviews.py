"""/reviews/: the inbox. What waits for me, what I asked for, all that is open, what was decided."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef, Subquery
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from approvals.models import Look, Reviewer, TransitionRequest, TransitionRequestQuerySet
from approvals.policy import MetricRule
from approvals.standing import Standing, standings_of
from core.keyset import key_in
from registry.comparison import Changed, compare
from web.signed_in import SignedInRequest

PAGE_SIZE = 25
TABS = (("waiting", "Waiting on me"), ("mine", "My requests"), ("open", "All open"), ("decided", "Decided"))


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    tab = request.GET.get("tab", "waiting")
    tab = tab if tab in dict(TABS) else "waiting"
    rows = _requests(request, tab)
    before = request.GET.get("before", "")
    if (key := key_in(before)) is not None:
        rows = rows.filter(pk__lt=key)
    found = list(_for_me(request, rows.with_rows()).order_by("-pk")[: PAGE_SIZE + 1])
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


def _for_me(request: SignedInRequest, rows: TransitionRequestQuerySet) -> TransitionRequestQuerySet:
    """With who asked this person by name, and whether it has moved since they looked at it."""
    me = request.user.person_id
    asked = Reviewer.objects.filter(request=OuterRef("pk"), person=me).values("asked_by__username")
    looked = Look.objects.filter(request=OuterRef("pk"), person=me, at__lt=OuterRef("updated_at"))
    return rows.annotate(asked_by=Subquery(asked), has_changed=Exists(looked))


def _row(item: TransitionRequest, standing: Standing) -> dict[str, Any]:
    met, total = standing.verdict.counts
    return {
        "request": item,
        "met": met,
        "total": total,
        "sentence": standing.verdict.sentence if item.is_pending else item.closed_reason,
        "worst": _worst_change(standing) if item.is_pending else None,
    }


def _worst_change(standing: Standing) -> Changed | None:
    """The metric that got worst against the holder of the target, relative to what it was; None when none did.

    Only metrics that a policy asks for count: which way is better is known of no other.
    """
    baseline, version = standing.known.baseline, standing.known.question.version
    if baseline is None or baseline.evidence is None or version.evidence is None:
        return None
    rules = {
        asked.name: asked
        for rule in standing.rules
        if rule.read is not None
        for asked in rule.read.requirements
        if isinstance(asked, MetricRule)
    }
    losses = {}
    for change in compare(baseline.evidence.data, version.evidence.data).metrics:
        asked = rules.get(change.name)
        if asked is None or not change.before or change.after is None:
            continue
        gain = (change.after - change.before) / abs(change.before)
        lower_is_better = asked.max is not None and asked.min is None
        losses[change] = gain if lower_is_better else -gain
    worst = max(losses, key=lambda change: losses[change], default=None)
    return worst if worst is not None and losses[worst] > 0 else None
