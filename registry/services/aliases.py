"""Aliases: names that services load a version by, guarded like stages."""

from __future__ import annotations

import re

from django.db import transaction

from accounts.models import User
from core.answers import require
from core.clock import now
from core.errors import Invalid
from core.prepared import Prepared, put, save
from notifications.events import record
from registry import gate
from registry.events import AliasDeleted, AliasMoved, about_version
from registry.gate import Change, ChangeKind, Permit
from registry.models import Alias, ModelVersion, RegisteredModel
from registry.permissions import can_edit, can_move
from registry.services._rows import alias_target, begin_holding, end_holdings_of, lock_model, lock_version_and_ask

_ALLOWED = re.compile(r"[\w-]{1,255}")
_RESERVED = re.compile(r"v\d+", re.IGNORECASE)
_ROW = Prepared(
    lambda model, alias: Alias.objects.select_related("version").filter(model=model, name=alias),
    int,
    str,
)


def check_alias(alias: str) -> str:
    if not _ALLOWED.fullmatch(alias):
        raise Invalid(
            f"Invalid alias name: '{alias[:100]}'. 1 to 255 alphanumerics, underscores (_) and dashes (-) are allowed.",
            field="alias",
        )
    if alias.lower() == "latest":
        raise Invalid(f"'{alias}' alias name (case insensitive) is reserved.", field="alias")
    if _RESERVED.fullmatch(alias):
        raise Invalid(f"Version alias name '{alias[:60]}' is reserved: it looks like a version number.", field="alias")
    return alias


@transaction.atomic
def set_alias(*, actor: User, version: ModelVersion, alias: str, permit: Permit | None = None) -> ModelVersion:
    """Point an alias at a version, taking it from the one that has it. With a permit the gate answers for the right."""
    check_alias(alias)
    questions = gate.questions(ChangeKind.SET_ALIAS, version)
    version, [rows, *answers] = lock_version_and_ask(version, _ROW.of(version.model_id, alias), *questions)
    model, target, row = version.model, alias_target(alias), next(iter(rows), None)
    previous = row.version if row and row.version_id != version.pk else None
    if permit is None:
        require(can_move(actor, version, target))
        if previous:
            previous.model = model
            require(can_move(actor, previous, target))
    gate.enforce(
        Change(
            ChangeKind.SET_ALIAS,
            actor,
            model,
            version,
            entering=target,
            replaces=(previous,) if previous else (),
            permit=permit,
            answers=tuple(answers),
        )
    )
    if row and previous is None:
        return version  # it points there already
    fresh = Alias(model=model, name=alias, version=version, set_by=actor, set_at=now())
    put([fresh], unique=["model", "name"], update=["version", "set_by", "set_at"])
    model.aliases[alias] = version.version
    save(model, "aliases")
    end_holdings_of(model, target)
    begin_holding(version, target, actor, permit)
    number = previous.version if previous else None
    moved = AliasMoved(
        **about_version(version),
        alias=alias,
        previous_version=number,
        is_prompt=model.is_prompt,
    )
    record(moved, actor=actor)
    return version


@transaction.atomic
def delete_alias(*, actor: User, model: RegisteredModel, alias: str, permit: Permit | None = None) -> None:
    """An absent alias is fine."""
    model = lock_model(model)
    row = _ROW.first(model.pk, alias)
    version = row.version if row else None
    if version:
        version.model = model
    if permit is None:
        require(can_move(actor, version, alias_target(alias)) if version else can_edit(actor, model))
    gate.enforce(
        Change(
            ChangeKind.DELETE_ALIAS, actor, model, version, leaving=(alias_target(alias),) if row else (), permit=permit
        )
    )
    if row is None:
        return
    row.delete()
    model.aliases.pop(alias, None)
    save(model, "aliases")
    end_holdings_of(model, alias_target(alias))
    deleted = AliasDeleted(model_name=model.name, model_id=model.pk, alias=alias, is_prompt=model.is_prompt)
    record(deleted, actor=actor)
