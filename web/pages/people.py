"""/people/: who is here, in which teams, and what they may do with which models."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.db.models import Prefetch, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from accounts import services
from accounts.models import Grant, Level, Membership, Team, User
from accounts.permissions import can_administer
from core.answers import require
from core.errors import CountersignError, Invalid, NotFound
from registry.queries import name_of, names_of
from web.pages.grants import holder_named, level_named
from web.signed_in import SignedInRequest

PAGE_SIZE = 50
MOST_TEAMS = 200
MOST_MEMBERS = 50
MOST_GRANTS = 500


def _context(request: SignedInRequest) -> dict[str, Any]:
    """Everybody sees who is here and in which team, because these are the people who can clear something; addresses
    and grants are for administrators."""
    query, after = request.GET.get("q", "").strip()[:150], request.GET.get("after", "")[:150]
    answer = can_administer(request.user)
    people = User.objects.select_related("owner").order_by("username")
    if query:
        by_address = Q(email__icontains=query) if answer else Q()
        people = people.filter(Q(username__icontains=query) | by_address)
    if after:
        people = people.filter(username__gt=after)
    found = list(people[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    memberships = Membership.objects.filter(user__in=shown).select_related("team").order_by("team__name")
    teams_of: dict[int, list[str]] = {}
    for membership in memberships:
        teams_of.setdefault(membership.user_id, []).append(membership.team.name)
    members = Prefetch("members", User.objects.order_by("username")[: MOST_MEMBERS + 1], to_attr="first_members")
    teams = list(Team.objects.prefetch_related(members).order_by("name")[: MOST_TEAMS + 1])
    return {
        "people": [{"person": person, "teams": teams_of.get(person.pk, [])} for person in shown],
        "query": query,
        "after": shown[-1].username if len(found) > PAGE_SIZE else None,
        "teams": teams[:MOST_TEAMS],
        "more_teams": len(teams) > MOST_TEAMS,
        "most_members": MOST_MEMBERS,
        "grants": _grants() if answer else [],
        "levels": [(level.name, level.label) for level in Level if level > Level.NONE],
        "can_administer": answer,
    }


def _grants() -> list[dict[str, Any]]:
    grants = list(Grant.objects.select_related("user", "team").order_by("-pk")[:MOST_GRANTS])
    names = names_of(grant.model_id for grant in grants if grant.model_id)
    return [
        {"grant": grant, "level": Level(grant.level).label, "model": names.get(grant.model_id or 0)} for grant in grants
    ]


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    return render(request, "people/index.html", _context(request))


def _do(request: SignedInRequest, form: str, act: Callable[[], object], done: str) -> HttpResponse:
    """Back to the page, with what was done or why it was not; the ``form`` that was refused keeps what was typed."""
    try:
        require(can_administer(request.user))
        act()
    except CountersignError as error:
        context = {**_context(request), "error": error.message, "typed": {**request.POST.dict(), "form": form}}
        return render(request, "people/index.html", context, status=422)
    messages.success(request, done)
    return redirect("people")


def _typed(request: SignedInRequest, field: str) -> str:
    """What was typed, without the sign that no column takes."""
    return request.POST.get(field, "").replace("\x00", "").strip()


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

    return _do(request, "person", act, f"The account {username} was added.")


@require_POST
def switch(request: SignedInRequest, username: str) -> HttpResponse:
    """On or off, as the form says."""
    to, person = _typed(request, "to"), services.find_user(username)

    def act() -> None:
        if to not in ("on", "off"):
            raise Invalid("Say whether to switch on or off.", field="to")
        services.set_active(actor=request.user, user=person, is_active=to == "on")

    return _do(request, "switch", act, f"{username} is switched {to}.")


@never_cache
@require_POST
def sign_in_link(request: SignedInRequest, username: str) -> HttpResponse:
    """Show a link that signs this person in, once: for an administrator to hand over."""
    require(can_administer(request.user))
    person = services.find_user(username)
    try:
        link = settings.BASE_URL + services.create_sign_in_link(actor=request.user, user=person)
    except Invalid as error:
        messages.error(request, error.message)
        return redirect("people")
    return render(request, "people/index.html", {**_context(request), "link": link, "link_for": person})


@require_POST
def create_team(request: SignedInRequest) -> HttpResponse:
    name = _typed(request, "name")
    make = functools.partial(services.create_team, actor=request.user, name=name)
    return _do(request, "team", make, f"The team {name} was added.")


@require_POST
def change_team(request: SignedInRequest, name: str) -> HttpResponse:
    """Put somebody in or take them out, as the form says."""
    team, username = services.find_team(name), _typed(request, "username")
    goes = request.POST.get("action") == "remove"

    def act() -> None:
        change = services.remove_from_team if goes else services.add_to_team
        change(actor=request.user, team=team, users=[services.find_user(username)])

    return _do(request, f"team:{name}", act, f"{username} is {'no longer' if goes else 'now'} in {name}.")


@require_POST
def grant(request: SignedInRequest) -> HttpResponse:
    level, to, pattern = (_typed(request, field) for field in ("level", "to", "pattern"))

    def act() -> None:
        given = level_named(level)
        services.change_grants(actor=request.user, levels={holder_named(to): given}, pattern=pattern)

    return _do(request, "grant", act, f"{to.partition(':')[2]} has {level} on {pattern}.")


@require_POST
def revoke_grant(request: SignedInRequest, pk: int) -> HttpResponse:
    require(can_administer(request.user))
    row = Grant.objects.select_related("user", "team").filter(pk=pk).first()
    if row is None:
        raise NotFound("There is no such grant.")
    name = name_of(row.model_id)
    done = f"{row.holder} no longer has {Level(row.level).label} on {row.pattern or name or 'that model'}."
    revoke = functools.partial(services.revoke_grant, actor=request.user, grant=row, model_name=name)
    return _do(request, "grants", revoke, done)
