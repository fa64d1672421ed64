"""Tags of models and versions."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts.models import User
from core.answers import require
from core.prepared import save
from notifications.events import record
from registry import gate
from registry.events import TagDeleted, TagSet
from registry.gate import Change, ChangeKind
from registry.models import ModelVersion, RegisteredModel, says_prompt
from registry.permissions import can_edit
from registry.services._rows import check_tag, lock_model, lock_version_and_ask


@transaction.atomic
def set_model_tag(*, actor: User, model: RegisteredModel, key: str, value: str) -> None:
    check_tag(key, value)
    model = lock_model(model)
    require(can_edit(actor, model))
    gate.enforce(Change(ChangeKind.SET_MODEL_TAG, actor, model, key=key))
    model.tags[key] = value
    model.is_prompt = says_prompt(model.tags)
    save(model, "tags", "is_prompt")
    record(TagSet(**_about(model), key=key, value=value), actor=actor)


@transaction.atomic
def delete_model_tag(*, actor: User, model: RegisteredModel, key: str) -> None:
    """An absent tag is fine."""
    model = lock_model(model)
    require(can_edit(actor, model))
    gate.enforce(Change(ChangeKind.DELETE_MODEL_TAG, actor, model, key=key))
    if model.tags.pop(key, None) is None:
        return
    model.is_prompt = says_prompt(model.tags)
    save(model, "tags", "is_prompt")
    record(TagDeleted(**_about(model), key=key), actor=actor)


@transaction.atomic
def set_version_tag(*, actor: User, version: ModelVersion, key: str, value: str) -> None:
    check_tag(key, value)
    version = _changing(ChangeKind.SET_VERSION_TAG, version, key, actor)
    version.tags[key] = value
    save(version, "tags")
    record(TagSet(**_about(version.model), version=version.version, key=key, value=value), actor=actor)


@transaction.atomic
def delete_version_tag(*, actor: User, version: ModelVersion, key: str) -> None:
    """An absent tag is fine."""
    version = _changing(ChangeKind.DELETE_VERSION_TAG, version, key, actor)
    if version.tags.pop(key, None) is None:
        return
    save(version, "tags")
    record(TagDeleted(**_about(version.model), version=version.version, key=key), actor=actor)


def _changing(kind: ChangeKind, version: ModelVersion, key: str, actor: User) -> ModelVersion:
    """The version, locked, once the actor and the gate have nothing against the change."""
    version, answers = lock_version_and_ask(version, *gate.questions(kind, version))
    require(can_edit(actor, version.model))
    gate.enforce(Change(kind, actor, version.model, version=version, key=key, answers=tuple(answers)))
    return version


def _about(model: RegisteredModel) -> dict[str, Any]:
    return {"model_name": model.name, "model_id": model.pk, "is_prompt": model.is_prompt}
