"""/reviews/: the inbox. What waits for me, what I asked for, all that is open, what was decided; all by filters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import Exists, OuterRef, QuerySet, Subquery
from django.http import HttpResponse
from django.views.decorators.http import require_safe

from accounts.models import Membership, User
from approvals.models import Awaited, Look, Reviewer, TransitionRequest, TransitionRequestQuerySet
from approvals.outlook import Outlook, outlooks_of
from approvals.policy import listed
from approvals.queries import count_again, fitting, list_again
from core.counting import up_to
from core.errors import Invalid
from core.keyset import key_in
from core.prepared import Many, Prepared, planned_anew
from web.pages.context import MOST_COUNTED
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
        found, error = _page(request.user, tab, given, before), ""
    except Invalid as refused:
        found, error = [], refused.message
    shown = found[:PAGE_SIZE]
    context = {
        "tab": tab,
        "tabs": _tabs(request, tab, given, is_refused=bool(error)),
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


def _list(user: User, tab: str, given: dict[str, str]) -> TransitionRequestQuerySet:
    """What fits, of a tab. Raises Invalid for a target that is none."""
    if tab == "waiting":
        return fitting(TransitionRequest.objects.waiting_on(user), **given)
    rows = fitting(TransitionRequest.objects.visible_to(user), **given)
    return {"mine": rows.filter(requester=user), "open": rows.pending(), "decided": rows.decided()}[tab]


def _for_me(user: User, rows: TransitionRequestQuerySet) -> TransitionRequestQuerySet:
    """With who asked this person by name, and whether it has moved since they looked at it."""
    me = user.person_id
    asked = Reviewer.objects.filter(request=OuterRef("pk"), person=me).values("asked_by__username")
    looked = Look.objects.filter(request=OuterRef("pk"), person=me, at__lt=OuterRef("updated_at"))
    return rows.annotate(asked_by=Subquery(asked), has_changed=Exists(looked))


def _page(user: User, tab: str, given: dict[str, str], before: str) -> list[TransitionRequest]:
    """One more than a page has: then there are older ones. The beginning of a tab is what people look at all day."""
    key = key_in(before)

    def rows() -> TransitionRequestQuerySet:
        fit = _for_me(user, _list(user, tab, given))
        return (fit if key is None else fit.filter(pk__lt=key)).lines().order_by("-pk")[: PAGE_SIZE + 1]

    return planned_anew(rows()) if given or key is not None else list_again(user, rows, "tab", tab)


def _tabs(request: SignedInRequest, active: str, given: dict[str, str], *, is_refused: bool) -> list[dict[str, Any]]:
    """The count for the bar at the top comes with those of the tabs."""
    user = request.user

    def lists() -> list[TransitionRequestQuerySet]:
        waiting = [TransitionRequest.objects.waiting_on(user)] if given else []  # otherwise that is the first tab
        return [_list(user, key, given) for key, _ in TABS] + waiting

    if is_refused:
        counts = [0] * len(TABS)
    else:
        counts = count_again(MOST_COUNTED, user, lists, "tabs", tuple(sorted(given.items())))
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
    """A line of the list: where a request stands, and as what this person is awaited."""

    request: TransitionRequest
    outlook: Outlook | None = None  # of a pending one
    your_turn: str = ""


def _rows(request: SignedInRequest, shown: list[TransitionRequest], tab: str) -> list[Row]:
    outlooks = outlooks_of(shown)
    turns = _your_turns(request, shown, outlooks) if tab == "waiting" else {}
    return [Row(row, outlooks.get(row.pk), turns.get(row.pk, "")) for row in shown]


def _teams_awaited(person: int, requests: list[int]) -> QuerySet[Awaited, Any]:
    mine = Membership.objects.filter(user=person).values("team__name")
    awaited = Awaited.objects.filter(request__in=requests, team__in=mine).order_by("pk")
    return awaited.values_list("request_id", "team")


_TEAMS_AWAITED = Prepared(_teams_awaited, int, Many(int))


def _your_turns(request: SignedInRequest, shown: list[Any], outlooks: dict[int, Outlook]) -> dict[int, str]:
    """By id, why a request waits for this person, besides being asked by name."""
    teams: dict[int, list[str]] = {}
    for key, team in _TEAMS_AWAITED.all(request.user.person_id, [row.pk for row in shown]):
        teams.setdefault(key, []).append(team)
    others = {row.pk: "You can clear it: you may make this move yourself." for row in shown if not row.asked_by}
    return others | {key: _your_teams(names, outlooks.get(key)) for key, names in teams.items()}


def _your_teams(names: list[str], outlook: Outlook | None) -> str:
    """Without the name of the one team that the line has just named."""
    sentence = outlook.sentence if outlook else ""
    if len(names) == 1 and sentence.endswith(f" from {names[0]}.") and sentence.count(" from ") == 1:
        return "You can give it."
    return f"You can clear it for {listed(names)}."
