"""Registered models: create, describe, rename, delete."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from accounts import services as accounts
from accounts.models import User
from accounts.permissions import can_reach
from core.answers import require
from core.clock import now, now_ms
from core.errors import AlreadyExists
from core.prepared import save
from notifications.events import record
from notifications.services import end_channels_of_model
from registry import gate
from registry.events import ModelCreated, ModelDeleted, ModelRenamed, ModelUpdated
from registry.gate import Change, ChangeKind
from registry.models import Alias, LatestVersion, ModelVersion, RegisteredModel, says_prompt
from registry.permissions import can_create_model, can_edit, can_manage
from registry.services._rows import (
    alias_target,
    check_description,
    check_name,
    check_tag,
    check_unheld,
    end_holdings,
    lock_model,
    stage_target,
)

EXISTS = "Registered Model (name={}) already exists."


@transaction.atomic
def create_model(
    *, actor: User, name: str, description: str = "", tags: dict[str, str] | None = None
) -> RegisteredModel:
    """A new model; its creator may do everything with it."""
    check_name(name)
    require(can_create_model(actor, name))
    check_description(description)
    for key, value in (tags or {}).items():
        check_tag(key, value)
    model = RegisteredModel(
        name=name, description=description, user=actor, tags=tags or {}, is_prompt=says_prompt(tags or {})
    )
    model.last_updated_timestamp = model.creation_timestamp
    gate.enforce(Change(ChangeKind.CREATE_MODEL, actor, model))
    if RegisteredModel.objects.live().filter(name=name).exists():
        raise AlreadyExists(EXISTS.format(name))
    try:
        with transaction.atomic():  # somebody else may have taken the name meanwhile
            model.save()
    except IntegrityError as error:
        raise AlreadyExists(EXISTS.format(name)) from error
    if not actor.is_superuser:
        accounts.manage_own(user=actor, model_id=model.pk)
    created = ModelCreated(
        model_name=name, model_id=model.pk, description=description, tags=model.tags, is_prompt=model.is_prompt
    )
    record(created, actor=actor)
    return model


@transaction.atomic
def update_model(*, actor: User, model: RegisteredModel, description: str) -> RegisteredModel:
    model = lock_model(model)
    require(can_edit(actor, model))
    gate.enforce(Change(ChangeKind.UPDATE_MODEL, actor, model))
    model.description, model.last_updated_timestamp = check_description(description), now_ms()
    save(model, "description", "last_updated_timestamp")
    record(ModelUpdated(model_name=model.name, model_id=model.pk, description=description), actor=actor)
    return model


@transaction.atomic
def rename_model(*, actor: User, model: RegisteredModel, new_name: str) -> RegisteredModel:
    """Versions, tags, aliases, grants and webhooks of the model follow; every version's clock moves."""
    model = lock_model(model)
    require(can_manage(actor, model))
    check_name(new_name)
    require(can_reach(actor, new_name))
    check_unheld(model)
    gate.enforce(Change(ChangeKind.RENAME_MODEL, actor, model, new_name=new_name))
    old_name, moment = model.name, now_ms()
    if RegisteredModel.objects.live().filter(name=new_name).exclude(pk=model.pk).exists():
        raise AlreadyExists(EXISTS.format(new_name))
    model.name, model.last_updated_timestamp = new_name, moment
    try:
        with transaction.atomic():
            save(model, "name", "last_updated_timestamp")
    except IntegrityError as error:
        raise AlreadyExists(EXISTS.format(new_name)) from error
    ModelVersion.objects.live().filter(model=model).update(last_updated_timestamp=moment)
    record(ModelRenamed(model_name=new_name, model_id=model.pk, old_name=old_name), actor=actor)
    return model


@transaction.atomic
def delete_model(*, actor: User, model: RegisteredModel) -> None:
    """Hide the model with all that hangs on it, and end its webhooks; decisions about it stay readable."""
    model = lock_model(model)
    require(can_manage(actor, model))
    check_unheld(model)
    held = LatestVersion.objects.filter(model=model).values_list("stage", flat=True)
    leaving = tuple(stage_target(stage) for stage in sorted(held)) + tuple(
        alias_target(a) for a in sorted(model.aliases)
    )
    gate.enforce(Change(ChangeKind.DELETE_MODEL, actor, model, leaving=leaving))
    moment = now()
    count = ModelVersion.objects.live().filter(model=model).update(deleted_at=moment)
    LatestVersion.objects.filter(model=model).delete()
    Alias.objects.filter(model=model).delete()
    end_holdings(model=model)
    model.deleted_at, model.aliases = moment, {}
    save(model, "deleted_at", "aliases")
    record(ModelDeleted(model_name=model.name, model_id=model.pk, versions=count), actor=actor)
    end_channels_of_model(actor=actor, model_id=model.pk)
