"""/models/ and /models/NAME/: which models there are, who holds what, and how the versions compare."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_POST, require_safe
from django_htmx.http import push_url, replace_url

from approvals import services as approvals
from approvals.history import holders_now
from approvals.queries import pending_of
from approvals.rulebook import Rule, Rulebook
from core.errors import CountersignError, Invalid
from core.keyset import number_in
from registry import services
from registry.metric_rows import metric_points
from registry.models import RegisteredModel, StageHolding
from registry.permissions import can_edit, can_manage, can_read, level_of
from registry.queries import deployments_of, events_of, get_model, target_named
from registry.version_order import MOST_DIGITS
from web.pages.addresses import fields_in, with_fields
from web.pages.grants import holder_named, level_named
from web.pages.metric_chart import chart_of
from web.pages.model_list import list_of
from web.pages.model_people import people_of
from web.pages.parts import part_or_page
from web.pages.version_table import MOST_CHOICES, table_of
from web.signed_in import SignedInRequest

MOST_DEPLOYMENTS = 50
MOST_DOTS = 200
SHOWN_EVENTS = 12
# The regions of a model's page that are asked for alone, by the element that they fill.
REGIONS = {"div#versions": "models/detail.html#versions", "div#metric": "models/detail.html#metric"}


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    context = list_of(request.user, request.GET)
    return _filtered(request, "models/index.html", context, part="models/index.html#results")


def _filtered(request: SignedInRequest, page: str, context: dict[str, Any], *, part: str) -> HttpResponse:
    """A link that sorts or turns the page is a step that one can go back from; a filter, which is sent anew with every
    few letters, is none."""
    kept = context["kept"]
    url = f"{request.path}?{kept.urlencode()}" if kept else request.path
    is_form = (request.htmx.source or "").startswith("form")
    return part_or_page(request, page, context, part=part, url=url, tell=replace_url if is_form else push_url)


@require_safe
def detail(request: SignedInRequest, name: str) -> HttpResponse:
    model = get_model(request.user, name)
    part = REGIONS.get(request.htmx.target or "", "models/detail.html")
    return _filtered(request, "models/detail.html", _context(request, model), part=part)


def _context(request: SignedInRequest, model: RegisteredModel) -> dict[str, Any]:
    rules, holdings = Rulebook.load().over(model.name, model.tags), holders_now(model)
    policy_metrics = list(dict.fromkeys(asked.name for rule in rules for asked in rule.metrics))
    table = table_of(model, request.GET, policy_metrics)
    return {
        "model": model,
        "level": level_of(request.user, model).label,
        "can_edit": can_edit(request.user, model),
        "holdings": holdings,
        "register_code": f'mlflow.register_model("runs:/<run id>/model", "{model.name}")',
        "requests": pending_of(model),
        "policies": rules,
        **table,
        **_chart(model, table["kept"], rules, holdings, [*policy_metrics, *table["common_metrics"]]),
    }


def _chart(
    model: RegisteredModel, kept: QueryDict, rules: tuple[Rule, ...], holdings: list[StageHolding], metrics: list[str]
) -> dict[str, Any]:
    """Of the metric that was asked for; else of the first that a policy asks for, or that most versions have."""
    name, until = kept.get("metric") or next(iter(metrics), ""), number_in(kept.get("until", ""), digits=MOST_DIGITS)
    if not name:
        return {"chart": None}
    points, is_cut = metric_points(model, name, until=until, most=MOST_DOTS)
    chart = chart_of(name, points, rules=rules, holdings=holdings, is_cut=is_cut, is_newest=until is None)
    return {
        "chart": chart,
        "charted": list(dict.fromkeys([name, *metrics]))[:MOST_CHOICES],
        "kept_beside_chart": [(key, value) for key, value in fields_in(kept) if key not in ("metric", "until")],
        "earlier_dots_url": with_fields(kept, metric=name, until=str(chart.earlier)) if chart.earlier else "",
        "newest_dots_url": with_fields(kept, metric=name, until=""),
    }


@require_safe
def activity(request: SignedInRequest, name: str) -> HttpResponse:
    """What happened last, for the page of the model; the page of all that happened otherwise."""
    model = get_model(request.user, name)
    if not request.htmx:
        return redirect(f"{reverse('activity')}?{urlencode({'model': name})}")
    events = events_of(model.name).only("kind", "summary", "path", "created_at").order_by("-id")[:SHOWN_EVENTS]
    return render(request, "models/activity.html", {"events": events})


@require_safe
def deployments(request: SignedInRequest, name: str) -> HttpResponse:
    """Where the model runs: for its page, and as a page of its own."""
    model = get_model(request.user, name)
    rows = deployments_of(model, most=MOST_DEPLOYMENTS + 1)
    template = "models/deployments.html#card" if request.htmx else "models/deployments.html"
    return render(request, template, {"model": model, "deployments": rows, "most_deployments": MOST_DEPLOYMENTS})


@require_safe
def people(request: SignedInRequest, name: str) -> HttpResponse:
    model = get_model(request.user, name)
    template = "models/people.html#card" if request.htmx else "models/people.html"
    return render(request, template, _people_context(request, model))


def _people_context(request: SignedInRequest, model: RegisteredModel) -> dict[str, Any]:
    return {"model": model, "can_manage": can_manage(request.user, model), **people_of(model)}


@require_POST
def change_grant(request: SignedInRequest, name: str) -> HttpResponse:
    """Give a person or a team a level on this model, or take it back."""
    model = get_model(request.user, name)
    try:
        level = None if "take_back" in request.POST else level_named(request.POST.get("level", ""))
        holder = holder_named(request.POST.get("to", "").strip())
        services.change_grants(actor=request.user, model=model, levels={holder: level})
    except CountersignError as error:
        context = {**_people_context(request, model), "grant_error": error.message, "granted": request.POST}
        return render(request, "models/people.html", context, status=422)
    has = level.label if level else "no level of their own"
    messages.success(request, f"{holder} has {has} on {name} now.")
    return redirect("model_people", name=name) if can_read(request.user, model) else redirect("models")


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
    try:
        if (to := number_in(request.POST.get("version", ""), digits=MOST_DIGITS)) is None:
            raise Invalid("Say which version to return to.", field="version")
        target = target_named(request.POST.get("target", ""))
        asked = approvals.request_rollback(actor=request.user, model=model, target=target, to=to)
    except CountersignError as error:
        return render(request, "models/detail.html", {**_context(request, model), "error": error.message}, status=422)
    if asked.is_pending:
        messages.success(request, "The request is open: not all that it needs is met. Its page says what is missing.")
    else:
        messages.success(request, f"Version {asked.version.version} is {asked.asks_for} again.")
    return redirect("request", pk=asked.pk)
