"""/policies/: what must hold before a version goes live, read and written as text."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import F
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import services
from approvals.coverage import counts_of_models, judged_requests, judgements_by, matched_models, named_in
from approvals.models import Policy
from approvals.permissions import can_publish_policies
from approvals.policy import Policy as ReadPolicy
from approvals.policy import PolicyError, parse_published, wording
from approvals.policy.difference import difference
from approvals.simulation import MOST_REPLAYED, SOON
from core.answers import require
from core.clock import now
from core.errors import CountersignError, Invalid, NotFound
from core.keyset import key_in, number_in
from core.prepared import Prepared
from web.pages.policy_draft import Draft, looked_at, replayed, simulated
from web.pages.policy_texts import EXAMPLES, TEMPLATES, Template, template_named
from web.signed_in import SignedInRequest

PAGE_SIZE = 25
MOST_REVISIONS = 100
TABS = (("", "Text"), ("requests", "Requests it judged"), ("models", "Models it is about"))


_NAMED = Prepared(lambda name: Policy.objects.select_related("current__author").filter(name=name), str)


def _get(name: str) -> Policy:
    policy = _NAMED.first(name)
    if policy is None:
        raise NotFound("There is no such policy.")
    return policy


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    """Those in force first. Each is counted against the models that this person may read."""
    page = number_in(request.GET.get("page", ""), digits=5) or 1
    start = (page - 1) * PAGE_SIZE
    rows = Policy.objects.select_related("current__author").order_by(F("archived_at").asc(nulls_first=True), "name")
    found = list(rows[start : start + PAGE_SIZE + 1])
    shown = [{"policy": policy, **reading(policy)} for policy in found[:PAGE_SIZE]]
    read = [row for row in shown if row["read"] is not None]
    for row, count in zip(read, counts_of_models([row["read"] for row in read], request.user), strict=True):
        row["models"] = count
    context = {
        "rows": shown,
        "can_publish": can_publish_policies(request.user),
        "new_url": reverse("policy_new"),
        "templates": TEMPLATES,
        "previous_url": f"?page={page - 1}" if start else None,
        "next_url": f"?page={page + 1}" if len(found) > PAGE_SIZE else None,
    }
    return render(request, "policies/index.html", context)


def reading(policy: Policy) -> dict[str, Any]:
    """A policy as it is read, in plain sentences; or what is wrong with its text."""
    if policy.current is None:
        return {"read": None, "sentences": [], "problem": "It has no text."}
    try:
        read = parse_published(policy.current.text)
        return {"read": read, "sentences": wording.sentences(read), "problem": ""}
    except PolicyError as error:
        return {"read": None, "sentences": [], "problem": str(error)}


@require_safe
def detail(request: SignedInRequest, name: str) -> HttpResponse:
    """Its text and revisions; on tabs of their own the requests that it judged, and the models that it is about."""
    policy = _get(name)
    read = reading(policy)
    tab = request.GET.get("tab", "")
    tab = tab if tab in dict(TABS) and read["read"] else ""
    shown = {"requests": _judged, "models": _matched}.get(tab, _text)
    context = {
        "policy": policy,
        "reading": read,
        "tab": tab,
        "tabs": [{"label": label, "url": f"?tab={key}", "active": key == tab, "count": None} for key, label in TABS],
        "can_publish": can_publish_policies(request.user),
        **shown(request, policy, read["read"]),
    }
    return render(request, "policies/detail.html", context)


def _text(request: SignedInRequest, policy: Policy, read: ReadPolicy | None) -> dict[str, Any]:
    number = request.GET.get("revision", "")
    revisions = list(policy.revisions.select_related("author")[:MOST_REVISIONS])
    before, after = (
        next((r for r in revisions if str(r.number) == request.GET.get(end)), None) for end in ("from", "to")
    )
    return {
        "before": before,
        "after": after,
        "difference": difference(before.text, after.text) if before and after else None,
        "revisions": revisions,
        "shown": next((r for r in revisions if str(r.number) == number), policy.current),
        "named": named_in(read) if read else None,
    }


def _judged(request: SignedInRequest, policy: Policy, read: ReadPolicy) -> dict[str, Any]:
    """A page of the requests that it has a say in, the newest first."""
    rows = judged_requests(read, request.user).with_runs()
    if (key := key_in(request.GET.get("before", ""))) is not None:
        rows = rows.filter(pk__lt=key)
    rows = rows.select_related("model", "version__evidence", "version__user", "requester").order_by("-pk")
    found = list(rows[: PAGE_SIZE + 1])
    for row in found:
        row.version.model = row.model
    judged = judgements_by(policy, read, found[:PAGE_SIZE])
    return {"judged": judged, "before": judged[-1].request.pk if len(found) > PAGE_SIZE else None}


def _matched(request: SignedInRequest, policy: Policy, read: ReadPolicy) -> dict[str, Any]:
    """A page of the models that it is about, by name."""
    rows = matched_models(read, request.user).filter(name__gt=request.GET.get("after", "")).order_by("name")
    found = list(rows[: PAGE_SIZE + 1])
    return {"models": found[:PAGE_SIZE], "after": found[PAGE_SIZE - 1].name if len(found) > PAGE_SIZE else ""}


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, name: str = "") -> HttpResponse:
    """Write a policy; ``name`` "" is a new one. Publishing puts it in force at once, every other action only reads."""
    policy = _get(name) if name else None
    answer = can_publish_policies(request.user)
    context: dict[str, Any] = {"policy": policy, "can_publish": answer, "examples": EXAMPLES, "templates": TEMPLATES}
    if request.method != "POST":
        text = policy.current.text if policy and policy.current else _template(request).text
        return render(request, "policies/edit.html", context | looked_at(Draft.of(text, policy), request.user))

    draft = Draft.of(request.POST.get("text", "").replace("\r\n", "\n"), policy)
    action = request.POST.get("action", "publish")
    try:
        if draft.read is None:
            raise Invalid(draft.trouble, field="text")
        if action == "publish":
            revision = services.publish_policy(actor=request.user, text=draft.text)
            messages.success(request, f"Revision {revision.number} is in force.")
            return redirect("policy", name=revision.policy.name)
        context |= _tried(request, draft, action)
    except CountersignError as error:
        context |= {"error": error.message, "action": action}
    part = {"check": "#found", "simulate": "#tried", "replay": "#tried", "replay_all": "#tried"}.get(action, "")
    if not request.htmx or part != "#tried":
        context |= looked_at(draft, request.user)
    template = f"policies/edit.html{part}" if request.htmx else "policies/edit.html"
    # What is wrong with a text while it is typed is the answer, not a refusal.
    refused = "error" in context and not (request.htmx and action == "check")
    return render(request, template, context, status=422 if refused else 200)


def _template(request: SignedInRequest) -> Template:
    return template_named(request.GET.get("template", ""))


def _tried(request: SignedInRequest, draft: Draft, action: str) -> dict[str, Any]:
    """What the form asked to be worked out."""
    assert draft.read is not None
    if action == "check":
        return {}
    if action == "simulate":
        return {"simulated": simulated(draft.read, draft.text, user=request.user, asked=request.POST)}
    if action not in ("replay", "replay_all"):
        raise Invalid("Publish, check, simulate or replay.", field="action")
    require(can_publish_policies(request.user))
    most = MOST_REPLAYED if action == "replay_all" else SOON
    found = replayed(draft.read, draft.text, user=request.user, most=most, page=request.GET.get("page", ""))
    return {"replayed": found, "action": action, "now": now()}


@require_POST
def archive(request: SignedInRequest, name: str) -> HttpResponse:
    services.archive_policy(actor=request.user, policy=_get(name))
    messages.success(request, f"{name} is out of force. Publish its text again to bring it back.")
    return redirect("policy", name=name)
