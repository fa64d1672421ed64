"""/models/ and /models/NAME/: which models there are, who holds what, and how the versions compare."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Exists, OuterRef, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from accounts.models import Level, User
from accounts.permissions import default_level
from accounts.queries import grants_reaching
from approvals import services as approvals
from approvals.models import TransitionRequest
from approvals.returning import number_before
from approvals.rulebook import Rulebook
from core.errors import CountersignError, Invalid
from core.search import decode_page_token, encode_page_token
from registry import services
from registry.evidence import known_of
from registry.models import LatestVersion, ModelVersion, RegisteredModel, Stage, StageHolding
from registry.permissions import can_edit, can_manage, can_read, level_of
from registry.queries import events_of, get_model, target_named
from web.pages.grants import holder_named, level_named
from web.signed_in import SignedInRequest

PAGE_SIZE = 25
SHOWN_METRICS = 3
MOST_GRANTS = 50
MOST_ADMINISTRATORS = 5
MOST_DEPLOYMENTS = 50


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    query = request.GET.get("q", "").strip()[:256]
    rows = RegisteredModel.objects.live().visible_to(request.user).filter(is_prompt=False)
    if query:
        rows = rows.filter(Q(name__icontains=query) | Q(description__icontains=query))
    stage = request.GET.get("stage", "")
    if stage in (Stage.STAGING, Stage.PRODUCTION):
        rows = rows.filter(latest__stage=stage)
    page, next_token = _page(rows, request.GET.get("page", ""))
    context = {
        "query": query,
        "stage": stage,
        "stages": (Stage.PRODUCTION, Stage.STAGING),
        "models": _rows(page),
        "next_token": next_token,
        "is_first_page": not request.GET.get("page"),
        "is_empty_registry": not query and not stage and not page,
    }
    template = "models/index.html#results" if request.htmx else "models/index.html"
    return render(request, template, context)


def _page(rows: Any, token: str) -> tuple[list[RegisteredModel], str]:
    """The last changed first; keyset pages, so that page 100 costs what page 1 does."""
    position = decode_page_token(token)
    if (
        isinstance(position, list)
        and len(position) == 2
        and isinstance(position[0], int)
        and isinstance(position[1], str)
    ):
        moment, name = position
        rows = rows.filter(Q(last_updated_timestamp__lt=moment) | Q(last_updated_timestamp=moment, name__gt=name))
    found = list(rows.select_related("user").order_by("-last_updated_timestamp", "name")[: PAGE_SIZE + 1])
    if len(found) <= PAGE_SIZE:
        return found, ""
    last = found[PAGE_SIZE - 1]
    return found[:PAGE_SIZE], encode_page_token([last.last_updated_timestamp, last.name])


def _rows(models: list[RegisteredModel]) -> list[dict[str, Any]]:
    """Each model with its holders and the number of its open requests: two statements for all of them."""
    holders: dict[int, dict[str, ModelVersion]] = {}
    for latest in LatestVersion.objects.filter(model__in=models).select_related("version"):
        holders.setdefault(latest.model_id, {})[latest.stage] = latest.version
    pending: dict[int, int] = {}
    for model_id in TransitionRequest.objects.pending().filter(model__in=models).values_list("model_id", flat=True):
        pending[model_id] = pending.get(model_id, 0) + 1
    return [
        {
            "model": model,
            "production": holders.get(model.pk, {}).get(Stage.PRODUCTION),
            "staging": holders.get(model.pk, {}).get(Stage.STAGING),
            "open_requests": pending.get(model.pk, 0),
        }
        for model in models
    ]


@require_safe
def detail(request: SignedInRequest, name: str) -> HttpResponse:
    model = get_model(request.user, name)
    template = "models/detail.html#versions" if request.htmx else "models/detail.html"
    return render(request, template, _context(request, model))


def _context(request: SignedInRequest, model: RegisteredModel) -> dict[str, Any]:
    versions, before = _versions(model, request.GET.get("before", ""))
    names = _metric_names(versions)
    for row in versions:
        row["cells"] = [row["metrics"].get(name) for name in names]
    pending = TransitionRequest.objects.pending().filter(model=model).with_rows().order_by("-id")[:20]
    return {
        "model": model,
        "level": level_of(request.user, model).label,
        "can_edit": can_edit(request.user, model),
        "can_manage": can_manage(request.user, model),
        "holdings": _holdings(model),
        "versions": versions,
        "metric_names": names,
        "register_code": f'mlflow.register_model("runs:/<run id>/model", "{model.name}")',
        "before": before,
        "is_first_page": not request.GET.get("before"),
        "deployments": model.deployments.with_rows()[: MOST_DEPLOYMENTS + 1],
        "most_deployments": MOST_DEPLOYMENTS,
        "requests": pending,
        **_people(model),
        "policies": Rulebook.load().over(model.name, model.tags),
        "events": events_of(model).select_related("actor").order_by("-id")[:12],
    }


def _holdings(model: RegisteredModel) -> list[StageHolding]:
    """Who holds each stage and alias now, since when, by whom and whether by a bypass, and the number of the version
    that one would return to; Production first."""
    order: dict[str, int] = {Stage.PRODUCTION: 0, Stage.STAGING: 1}
    bypassed = Exists(TransitionRequest.objects.filter(pk=OuterRef("request_id"), is_bypassed=True))
    rows = StageHolding.objects.filter(model=model, until=None).select_related("version", "set_by")
    found = rows.annotate(is_bypassed=bypassed, returns_to=number_before())[:200]
    return sorted(found, key=lambda row: (order.get(row.target, 2), row.target, -row.version.version))


def _versions(model: RegisteredModel, before: str) -> tuple[list[dict[str, Any]], int | None]:
    """One page of versions, the newest first, each with its last metrics; and the number the next page starts below."""
    rows = ModelVersion.objects.live().filter(model=model)
    if before.isdecimal() and len(before) < 10:
        rows = rows.filter(version__lt=int(before))
    found = list(rows.select_related("user", "evidence").order_by("-version")[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    for version in shown:
        version.model = model
    more = shown[-1].version if len(found) > PAGE_SIZE else None
    return [{"version": version, "metrics": _metrics(version)} for version in shown], more


def _metrics(version: ModelVersion) -> dict[str, Any]:
    return {name: entry["value"] for name, entry in known_of(version)["metrics"].items()}


def _metric_names(versions: list[dict[str, Any]]) -> list[str]:
    """The columns: the metrics that most of these versions have, in order of the alphabet."""
    counts: dict[str, int] = {}
    for row in versions:
        for name in row["metrics"]:
            counts[name] = counts.get(name, 0) + 1
    most = sorted(counts, key=lambda name: (-counts[name], name))[:SHOWN_METRICS]
    return sorted(most)


def _people(model: RegisteredModel) -> dict[str, Any]:
    """Who may do what and by what: the grants on this model first, then those on patterns; the first of each list."""
    rows = grants_reaching(model_id=model.pk, model_name=model.name).order_by("pattern", "-level", "pk")
    grants = list(rows[: MOST_GRANTS + 1])
    administrators = User.objects.filter(is_superuser=True, is_active=True).order_by("username")
    return {
        "grants": [
            {
                "holder": grant.holder,
                "to": f"team:{grant.team}" if grant.team else f"user:{grant.holder}",
                "level": Level(grant.level),
                "pattern": grant.pattern,
                "is_team": grant.team is not None,
            }
            for grant in grants[:MOST_GRANTS]
        ],
        "more_grants": len(grants) > MOST_GRANTS,
        "administrators": list(administrators.values_list("username", flat=True)[: MOST_ADMINISTRATORS + 1]),
        "everybody": default_level(),
        "levels": [level for level in Level if level],
    }


@require_POST
def change_grant(request: SignedInRequest, name: str) -> HttpResponse:
    """Give a person or a team a level on this model, or take it back."""
    model = get_model(request.user, name)
    try:
        level = None if "take_back" in request.POST else level_named(request.POST.get("level", ""))
        holder = holder_named(request.POST.get("to", "").strip())
        services.change_grants(actor=request.user, model=model, levels={holder: level})
    except CountersignError as error:
        context = {**_context(request, model), "grant_error": error.message, "granted": request.POST}
        return render(request, "models/detail.html", context, status=422)
    has = level.label if level else "no level of their own"
    messages.success(request, f"{holder} has {has} on {name} now.")
    return redirect(model) if can_read(request.user, model) else redirect("models")


@require_POST
def describe(request: SignedInRequest, name: str) -> HttpResponse:
    model = get_model(request.user, name)
    try:
        services.update_model(actor=request.user, model=model, description=request.POST.get("description", ""))
    except CountersignError as error:
        context = {**_context(request, model), "typed": request.POST.get("description", ""), "error": error.message}
        return render(request, "models/detail.html", context, status=422)
    messages.success(request, "The description was saved.")
    return redirect("model", name=name)


@require_POST
def rollback(request: SignedInRequest, name: str) -> HttpResponse:
    """Return a stage or an alias to the version that held it before."""
    model = get_model(request.user, name)
    wanted, to = request.POST.get("target", ""), request.POST.get("version", "")
    try:
        if not to.isascii() or not to.isdecimal():
            raise Invalid("Say which version to return to.", field="version")
        target = target_named(wanted)
        asked = approvals.request_rollback(actor=request.user, model=model, target=target, to=int(to))
    except CountersignError as error:
        return render(request, "models/detail.html", {**_context(request, model), "error": error.message}, status=422)
    if asked.is_pending:
        messages.success(request, "The request is open: not all that it needs is met. Its page says what is missing.")
    else:
        messages.success(request, f"Version {asked.version.version} is {asked.asks_for} again.")
    return redirect("request", pk=asked.pk)
