"""/policies/: what must hold before a version goes live, read and written as text."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from approvals import services
from approvals.models import Policy
from approvals.permissions import can_publish_policies
from approvals.policy import wording
from approvals.policy.difference import difference
from approvals.services.policies import checked_policy
from approvals.simulation import MOST_REPLAYED, SOON, edits, effects, replay
from core.clock import now
from core.errors import CountersignError, Invalid, NotFound
from web.signed_in import SignedInRequest

EXAMPLE = """\
name: production-gate
description: What every model must show before it serves customers.
match:
  models: ["*"]
guards: [stage:Production]
requirements:
  - metric: {name: accuracy, min: 0.90}
  - approvals: {count: 1}
"""
MOST_REVISIONS = 100


def _get(name: str) -> Policy:
    policy = Policy.objects.select_related("current__author").filter(name=name).first()
    if policy is None:
        raise NotFound("There is no such policy.")
    return policy


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    policies = Policy.objects.select_related("current__author").order_by("archived_at", "name")[:500]
    rows = [{"policy": policy, "reading": reading(policy)} for policy in policies]
    return render(
        request,
        "policies/index.html",
        {"rows": rows, "can_publish": can_publish_policies(request.user), "new_url": reverse("policy_new")},
    )


def reading(policy: Policy) -> dict[str, Any]:
    """A policy in plain sentences, or what is wrong with its text."""
    if policy.current is None:
        return {"sentences": [], "problem": "It has no text."}
    try:
        return {"sentences": wording.sentences(checked_policy(policy.current.text)), "problem": ""}
    except Invalid as error:
        return {"sentences": [], "problem": error.message}


@require_safe
def detail(request: SignedInRequest, name: str) -> HttpResponse:
    policy = _get(name)
    number = request.GET.get("revision", "")
    revisions = list(policy.revisions.select_related("author")[:MOST_REVISIONS])
    shown = next((r for r in revisions if str(r.number) == number), policy.current)
    compared = [next((r for r in revisions if str(r.number) == request.GET.get(end)), None) for end in ("from", "to")]
    before, after = compared
    context = {
        "before": before,
        "after": after,
        "difference": difference(before.text, after.text) if before and after else None,
        "policy": policy,
        "reading": reading(policy),
        "revisions": revisions,
        "shown": shown,
        "can_publish": can_publish_policies(request.user),
    }
    return render(request, "policies/detail.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
def edit(request: SignedInRequest, name: str = "") -> HttpResponse:
    """Write a policy; ``name`` "" is a new one. Publishing puts it in force at once."""
    policy = _get(name) if name else None
    answer = can_publish_policies(request.user)
    text = policy.current.text if policy and policy.current else EXAMPLE
    context: dict[str, Any] = {"policy": policy, "text": text, "can_publish": answer}
    if request.method != "POST":
        return render(request, "policies/edit.html", context)
    context["text"] = request.POST.get("text", "").replace("\r\n", "\n")
    try:
        read = checked_policy(context["text"])
        if policy and read.name != policy.name:
            raise Invalid(f"The text names itself {read.name}: a policy keeps its name, {policy.name}.", field="text")
        if (action := request.POST.get("action")) in ("check", "check_all"):
            context["sentences"] = wording.sentences(read)
            context["edits"] = edits(read, context["text"])
            if answer:
                most = SOON if action == "check" else MOST_REPLAYED
                context["effects"] = effects(read, context["text"], user=request.user, most=most)
                context["replay"] = replay(read, context["text"], user=request.user, most=most)
                context["most"] = most
                context["is_partial"] = most == SOON and (context["effects"].is_cut or context["replay"].is_cut)
                context["now"] = now()
            return render(request, "policies/edit.html", context)
        revision = services.publish_policy(actor=request.user, text=context["text"])
    except CountersignError as error:
        return render(request, "policies/edit.html", {**context, "error": error.message}, status=422)
    messages.success(request, f"Revision {revision.number} is in force.")
    return redirect("policy", name=revision.policy.name)


@require_POST
def archive(request: SignedInRequest, name: str) -> HttpResponse:
    services.archive_policy(actor=request.user, policy=_get(name))
    messages.success(request, f"{name} is out of force. Publish its text again to bring it back.")
    return redirect("policy", name=name)
