"""Who may do what with a model, for its page."""

from __future__ import annotations

from typing import Any

from accounts.models import Level, User
from accounts.permissions import default_level
from accounts.queries import grants_reaching
from registry.models import RegisteredModel

MOST_GRANTS = 50
MOST_ADMINISTRATORS = 5


def people_of(model: RegisteredModel) -> dict[str, Any]:
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
