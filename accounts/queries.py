"""Who was granted what, and the holders of grants by their names."""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import Q, QuerySet

from accounts.models import Grant, Team, User
from accounts.permissions import fits
from core.errors import NotFound


def grants_reaching(*, model_id: int, model_name: str) -> QuerySet[Grant]:
    """Those on the model itself, and those on patterns that its name fits; with their holders."""
    patterns = Grant.objects.filter(model_id=None).values_list("pattern", flat=True).distinct()
    fitting = [pattern for pattern in patterns if fits(model_name, pattern)]
    return Grant.objects.filter(Q(model_id=model_id) | Q(pattern__in=fitting)).select_related("user", "team")


def find_holders(*, users: Collection[str], teams: Collection[str]) -> tuple[dict[str, User], dict[str, Team]]:
    """By their names, users and teams, in two statements. Raises NotFound unless all are there."""
    found = {user.username: user for user in User.objects.filter(username__in=users)} if users else {}
    groups = {team.name: team for team in Team.objects.filter(name__in=teams)} if teams else {}
    if missing := [name for name in users if name not in found]:
        raise NotFound(f"There is no user {missing[0][:150]}.")
    if missing := [name for name in teams if name not in groups]:
        raise NotFound(f"There is no team {missing[0][:100]}.")
    return found, groups
