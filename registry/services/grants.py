"""Who may do what with one model, by who manages it."""

from __future__ import annotations

from collections.abc import Mapping

from django.db import transaction

from accounts import services as accounts
from accounts.models import Level, Team, User
from accounts.permissions import forget_grants
from core.answers import require
from registry import gate
from registry.gate import Change, ChangeKind
from registry.models import RegisteredModel
from registry.permissions import can_manage
from registry.services._rows import lock_model


@transaction.atomic
def change_grants(
    *, actor: User, model: RegisteredModel, levels: Mapping[User | Team, Level | None], replace: bool = False
) -> None:
    """Give each holder a level on this model, in place of the one they were granted on it; None takes it back, and
    ``replace`` the grants of everybody else, their giver's own included. What is granted on patterns of names stays.
    """
    model = lock_model(model)
    require(can_manage(actor, model))
    gate.enforce(Change(ChangeKind.CHANGE_GRANTS, actor, model))
    accounts.change_grants(actor=actor, levels=levels, replace=replace, model_id=model.pk, model_name=model.name)
    forget_grants(actor)
