"""/reviews/: the inbox. What waits for me, what I asked for, all that is open, what was decided; all by filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, Subquery
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.models import User
from approvals.models import Look, Reviewer, TransitionRequest, TransitionRequestQuerySet
from approvals.policy import MetricRule, listed
from approvals.queries import counts_up_to, fitting
from approvals.standing import Standing, standings_of
from core.errors import Invalid
from core.keyset import key_in
from registry.comparison import Changed, number
from web.pages.context import MOST_COUNTED, up_to
from web.pages.parts import part_or_page
from web.signed_in import SignedInRequest

PAGE_SIZE = 25
TABS = (("waiting", "Waiting on me"), ("mine", "My requests"), ("open", "All open"), ("decided", "Decided"))
FILTERS = ("model", "target", "requester", "text")
ASK = """\
curl -H "Authorization: Bearer $MLFLOW_TRACKING_TOKEN" -H "Content-Type: application/json" \\
  -d '{"model": "my-model", "version": 3, "target": "Production", "comment": "Retrained."}' \\
  $MLFLOW_TRACKING_URI/api/v1/requests/"""


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    tab = request.GET.get("tab", "waiting")
    tab = tab if tab in dict(TABS) else "waiting"
    given = {name: text for name in FILTERS if (text := request.GET.get(name, "").strip())}
    before = request.GET.get("before", "")
    try:
        lists, error = _lists(request, given), ""
    except Invalid as refused:
        lists, error = {key: TransitionRequest.objects.none() for key, _ in TABS}, refused.message
    found = _page(_for_me(request, lists[tab]), before)
    shown = found[:PAGE_SIZE]
    context = {
        "tab": tab,
        "tabs": _tabs(request, lists, tab, given),
        "given": given,
        "query": urlencode({"tab": tab, **given}),
        "rows": _rows(request, shown, tab),
        "before": shown[-1].pk if len(found) > PAGE_SIZE else None,
        "is_first_page": not before,
        "error": error,
        "ask_code": ASK,
    }
    url = f"{request.path}?{context['query']}"
    return part_or_page(request, "reviews/index.html", context, part="reviews/index.html#results", url=url)


def _lists(request: SignedInRequest, given: dict[str, str]) -> dict[str, TransitionRequestQuerySet]:
    """By tab, what fits. Raises Invalid for a target that is none."""
    rows = fitting(TransitionRequest.objects.visible_to(request.user), **given)
    waiting = fitting(TransitionRequest.objects.waiting_on(request.user), **given)
    mine = rows.filter(requester=request.user)
    return {"waiting": waiting, "mine": mine, "open": rows.pending(), "decided": rows.decided()}


def _for_me(request: SignedInRequest, rows: TransitionRequestQuerySet) -> TransitionRequestQuerySet:
    """With who asked this person by name, and whether it has moved since they looked at it."""
    me = request.user.person_id
    asked = Reviewer.objects.filter(request=OuterRef("pk"), person=me).values("asked_by__username")
    looked = Look.objects.filter(request=OuterRef("pk"), person=me, at__lt=OuterRef("updated_at"))
    return rows.annotate(asked_by=Subquery(asked), has_changed=Exists(looked))


def _page(rows: TransitionRequestQuerySet, before: str) -> list[TransitionRequest]:
    """One more than a page has: then there are older ones."""
    if (key := key_in(before)) is not None:
        rows = rows.filter(pk__lt=key)
    # The recorded verdicts are long, and no line of the list says anything of them.
    rows = rows.select_related("model", "version__evidence", "version__user", "requester").defer("verdict")
    found = list(rows.order_by("-pk")[: PAGE_SIZE + 1])
    for row in found:
        row.version.model = row.model
    return found


def _tabs(
    request: SignedInRequest, lists: dict[str, TransitionRequestQuerySet], active: str, given: dict[str, str]
) -> list[dict[str, Any]]:
    """The count for the bar at the top comes with those of the tabs."""
    counted = [lists[key] for key, _ in TABS]
    if given:
        counted.append(TransitionRequest.objects.waiting_on(request.user))
    counts = counts_up_to(MOST_COUNTED, request.user, *counted)
    request.waiting = counts[-1] if given else counts[0]
    return [
        {
            "label": label,
            "url": f"?{urlencode({'tab': key, **given})}",
            "active": key == active,
            "count": up_to(MOST_COUNTED, count),
        }
        for (key, label), count in zip(TABS, counts, strict=False)
    ]


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the list: where a request stands, what got worst, and as what this person is awaited."""

    request: TransitionRequest
    sentence: str
    met: int = 0
    total: int = 0
    worst: Changed | None = None
    your_turn: str = ""


def _rows(request: SignedInRequest, shown: list[TransitionRequest], tab: str) -> list[Row]:
    pending = [row for row in shown if row.is_pending]
    standings = dict(zip((row.pk for row in pending), standings_of(pending), strict=True))
    return [_row(row, standings.get(row.pk), request.user if tab == "waiting" else None) for row in shown]


def _row(row: TransitionRequest, standing: Standing | None, awaited: User | None) -> Row:
    if standing is None:
        return Row(row, row.closed_reason)
    met, total = standing.verdict.counts
    your_turn = _your_turn(row, standing, awaited) if awaited else ""
    return Row(row, standing.verdict.sentence, met, total, _worst_change(standing), your_turn)


def _your_turn(row: Any, standing: Standing, user: User) -> str:
    """Why a request waits for this person, besides being asked by name."""
    teams = [team for team, _ in standing.awaited if user.person_id in standing.known.members.get(team, {})]
    if teams:
        return f"You can clear it for {listed(teams)}."
    return "" if row.asked_by else "You can clear it: you may make this move yourself."


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
    was, now = baseline.evidence.data["metrics"], version.evidence.data["metrics"]
    losses = {}
    for name, asked in rules.items():
        before, after = number(was.get(name)), number(now.get(name))
        if asked.lower_is_better is None or not before or after is None:
            continue
        gain = (after - before) / abs(before)
        losses[Changed(name, before, after)] = gain if asked.lower_is_better else -gain
    worst = max(losses, key=lambda change: losses[change], default=None)
    return worst if worst is not None and losses[worst] > 0 else None
