"""Whom a comment names with an @."""

from __future__ import annotations

from django.db.models import Q

from accounts.models import Membership, User
from core.errors import Invalid
from core.markdown import mentioned_names

MOST_NAMES = 20
MOST_MEMBERS = 50


def mentioned(text: str, *, author: User) -> dict[str, set[int]]:
    """Each name in the text that is an account's or a team's -> the active accounts meant, without the author's own."""
    names = mentioned_names(text)
    if not names:
        return {}
    own = Q(pk=author.person_id) | Q(owner=author.person_id)
    active = User.objects.filter(is_active=True).exclude(own)
    found = {name: {pk} for name, pk in active.filter(username__in=names).values_list("username", "pk")}
    members = Membership.objects.filter(team__name__in=names, user__in=active)
    for team, pk in members.values_list("team__name", "user_id"):
        found.setdefault(team, set()).add(pk)
    return found


def everybody(found: dict[str, set[int]]) -> set[int]:
    return set().union(*found.values())


def check_mentions(found: dict[str, set[int]]) -> None:
    """Raises Invalid when a comment would tell too many."""
    if len(found) > MOST_NAMES:
        raise Invalid(
            f"A comment mentions at most {MOST_NAMES} people and teams, this one {len(found)}.", field="comment"
        )
    for name, people in found.items():
        if len(people) > MOST_MEMBERS:
            raise Invalid(
                f"A mention tells at most {MOST_MEMBERS} people, and {name} has {len(people)}: name those you mean.",
                field="comment",
            )
