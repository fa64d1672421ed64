"""/people/: who is here, in which teams, and what they may do with which models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import services
from accounts.models import Grant, Level, Membership, Team, User
from accounts.permissions import can_administer
from core.answers import require
from core.errors import CountersignError, Invalid, NotFound
from registry.models import RegisteredModel
from web.signed_in import SignedInRequest

PAGE_SIZE = 50
MOST_TEAMS = 200
MOST_GRANTS = 500


def _context(request: SignedInRequest) -> dict[str, Any]:
    """Everybody sees who is here and in which team, because these are the people who can clear something; addresses
    and grants are for administrators."""
    query, after = request.GET.get("q", "").strip()[:150], request.GET.get("after", "")[:150]
    people = User.objects.select_related("owner").order_by("username")
    if query:
        people = people.filter(Q(username__icontains=query) | Q(email__icontains=query))
    if after:
        people = people.filter(username__gt=after)
    found = list(people[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    memberships = Membership.objects.filter(user__in=shown).select_related("team").order_by("team__name")
    teams_of: dict[int, list[str]] = {}
    for membership in memberships:
        teams_of.setdefault(membership.user_id, []).append(membership.team.name)
    answer = can_administer(request.user)
    return {
        "people": [{"person": person, "teams": teams_of.get(person.pk, [])} for person in shown],
        "query": query,
        "is_first_page": not after,
        "after": shown[-1].username if len(found) > PAGE_SIZE else None,
        "teams": Team.objects.prefetch_related("members").order_by("name")[:MOST_TEAMS],
        "grants": _grants() if answer else [],
        "levels": [(level.name, level.label) for level in Level if level > Level.NONE],
        "can_administer": answer,
    }


def _grants() -> list[dict[str, Any]]:
    grants = list(Grant.objects.select_related("user", "team").order_by("-pk")[:MOST_GRANTS])
    ids = [grant.model_id for grant in grants if grant.model_id]
    names = dict(RegisteredModel.objects.filter(pk__in=ids).values_list("pk", "name")) if ids else {}
    return [
        {"grant": grant, "level": Level(grant.level).name, "model": names.get(grant.model_id or 0)} for grant in grants
    ]


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    return render(request, "people/index.html", _context(request))


def _do(request: SignedInRequest, act: Callable[[], object], done: str) -> HttpResponse:
    """Back to the page, with what was done or why it was not; a refused form keeps what was typed."""
    try:
        act()
    except CountersignError as error:
        context = {**_context(request), "error": error.message, "typed": request.POST.dict()}
        return render(request, "people/index.html", context, status=422)
    messages.success(request, done)
    return redirect("people")


def _typed(request: SignedInRequest, field: str) -> str:
    return request.POST.get(field, "").strip()


@require_POST
def create(request: SignedInRequest) -> HttpResponse:
    """A person, or a service account with the person behind it."""
    username, owner = _typed(request, "username"), _typed(request, "owner")

    def act() -> None:
        services.create_user(
            actor=request.user,
            username=username,
            email=_typed(request, "email"),
            is_admin=request.POST.get("kind") == "admin",
            is_service=request.POST.get("kind") == "service",
            owner=services.find_user(owner) if owner else None,
        )

    return _do(request, act, f"{username} is here. Make a sign-in link, or a token for a service account.")


@require_POST
def switch(request: SignedInRequest, username: str) -> HttpResponse:
    """On or off, as the form says."""
    is_active = request.POST.get("to") == "on"
    person = services.find_user(username)
    return _do(
        request,
        lambda: services.set_active(actor=request.user, user=person, is_active=is_active),
        f"{username} is switched {'on' if is_active else 'off'}.",
    )


@never_cache
@require_POST
def sign_in_link(request: SignedInRequest, username: str) -> HttpResponse:
    """Show a link that signs this person in, once: for an administrator to hand over."""
    require(can_administer(request.user))
    person = services.find_user(username)
    if person.is_service or not person.is_active:
        messages.error(request, f"{username} does not sign in: links are for people who are switched on.")
        return redirect("people")
    link = settings.BASE_URL + services.create_sign_in_link(user=person)
    return render(request, "people/index.html", {**_context(request), "link": link, "link_for": person})


@require_POST
def create_team(request: SignedInRequest) -> HttpResponse:
    name = _typed(request, "name")
    return _do(request, lambda: services.create_team(actor=request.user, name=name), f"The team {name} is there.")


@require_POST
def change_team(request: SignedInRequest, name: str) -> HttpResponse:
    """Put somebody in or take them out, as the form says."""
    team, username = services.find_team(name), _typed(request, "username")
    goes = request.POST.get("action") == "remove"

    def act() -> None:
        change = services.remove_from_team if goes else services.add_to_team
        change(actor=request.user, team=team, users=[services.find_user(username)])

    return _do(request, act, f"{username} is {'no longer' if goes else 'now'} in {name}.")


@require_POST
def grant(request: SignedInRequest) -> HttpResponse:
    level, to, pattern = (_typed(request, field) for field in ("level", "to", "pattern"))

    def act() -> None:
        if level not in Level.__members__:
            raise Invalid(f"A level is one of {', '.join(Level.__members__)}.", field="level")
        kind, _, name = to.partition(":")
        if kind not in ("user", "team"):
            raise Invalid("A grant goes to one user or to one team.", field="to")
        services.grant(
            actor=request.user,
            level=Level[level],
            user=services.find_user(name) if kind == "user" else None,
            team=services.find_team(name) if kind == "team" else None,
            pattern=pattern,
        )

    return _do(request, act, f"{to.partition(':')[2]} has {level} on {pattern}.")


@require_POST
def revoke_grant(request: SignedInRequest, pk: int) -> HttpResponse:
    row = Grant.objects.filter(pk=pk).first()
    require(can_administer(request.user))
    if row is None:
        raise NotFound("There is no such grant.")
    return _do(request, lambda: services.revoke_grant(actor=request.user, grant=row), "The grant is taken back.")
