"""Logged models: create, finish, tag, delete."""

from __future__ import annotations

import json
import uuid

from django.db import transaction

from accounts.models import User
from core.answers import require
from core.clock import now, now_ms
from core.errors import Invalid, NotFound
from core.keys import check_key
from tracking.models import LoggedModel, Run
from tracking.names import random_name
from tracking.permissions import can_write
from tracking.services.experiments import active_experiment

FORBIDDEN_IN_NAME = "/:.%\"'"
MAX_VALUE = 20_000


def get_logged_model(model_id: str, *, allow_deleted: bool = False) -> LoggedModel:
    """Raises NotFound with MLflow's text."""
    model = LoggedModel.objects.select_related("user").filter(model_id=model_id[:35]).first()
    if model is None or (model.deleted_at and not allow_deleted):
        raise NotFound(f"Logged model with ID '{model_id[:60]}' not found.")
    return model


def _locked(model_id: str, actor: User) -> LoggedModel:
    get_logged_model(model_id)
    model = LoggedModel.objects.select_for_update(of=("self",)).select_related("user").get(model_id=model_id)
    require(can_write(actor, model))
    return model


def _checked(entries: dict[str, str], what: str) -> dict[str, str]:
    for key, value in entries.items():
        check_key(key, what)
        if len(value) > MAX_VALUE:
            raise Invalid(f"The value of {what} '{key}' has more than {MAX_VALUE} characters.", field="value")
    return entries


@transaction.atomic
def create_logged_model(
    *,
    actor: User,
    experiment_id: str,
    name: str = "",
    model_type: str = "",
    source_run_id: str = "",
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> LoggedModel:
    if any(sign in FORBIDDEN_IN_NAME for sign in name):
        raise Invalid(
            f"Invalid model name ({name!r}) provided. Model name must not contain any of {FORBIDDEN_IN_NAME}",
            field="name",
        )
    if len(name) > 500 or len(model_type) > 500 or len(source_run_id) > 32:
        raise Invalid("name and model_type have at most 500 characters, source_run_id 32.", field="name")
    run = Run.objects.select_related("user").filter(run_id=source_run_id).first() if source_run_id else None
    if run is not None:
        require(can_write(actor, run))  # its metrics become the evidence of versions made from this model
    model = LoggedModel(
        model_id=f"m-{uuid.uuid4().hex}",
        experiment=active_experiment(experiment_id),
        name=name or random_name(),
        model_type=model_type,
        source_run_id=source_run_id,
        user=actor,
        params=_checked(params or {}, "parameter"),
        tags=_checked(tags or {}, "tag"),
    )
    model.last_updated_timestamp = model.creation_timestamp
    model.save(force_insert=True)
    return model


@transaction.atomic
def finalize_logged_model(*, actor: User, model_id: str, status: str) -> LoggedModel:
    model = _locked(model_id, actor)
    model.status, model.last_updated_timestamp = status, now_ms()
    model.save(update_fields=["status", "last_updated_timestamp"])
    return model


@transaction.atomic
def set_logged_model_tags(*, actor: User, model_id: str, tags: dict[str, str]) -> None:
    model = _locked(model_id, actor)
    model.tags.update(_checked(tags, "tag"))
    model.save(update_fields=["tags"])


@transaction.atomic
def delete_logged_model_tag(*, actor: User, model_id: str, key: str) -> None:
    model = _locked(model_id, actor)
    if key not in model.tags:
        raise NotFound(f"No tag with key {key[:250]!r} found for model with ID {model_id!r}.")
    del model.tags[key]
    model.save(update_fields=["tags"])


@transaction.atomic
def log_params(*, actor: User, model_id: str, params: dict[str, str]) -> None:
    model = _locked(model_id, actor)
    model.params.update(_checked(params, "parameter"))
    model.save(update_fields=["params"])


def delete_logged_model(*, actor: User, model_id: str) -> None:
    """Hide it; again is fine."""
    with transaction.atomic():
        model = get_logged_model(model_id, allow_deleted=True)
        require(can_write(actor, model))
        LoggedModel.objects.filter(pk=model.pk, deleted_at=None).update(deleted_at=now())


VERSIONS_TAG = "mlflow.modelVersions"


def note_version(*, model_id: str, name: str, version: int) -> None:
    """Note on the logged model that a version was registered from it, as MLflow's server does. In a transaction."""
    model = LoggedModel.objects.select_for_update().filter(model_id=model_id).first()
    if model is None:
        return
    try:
        noted = json.loads(model.tags.get(VERSIONS_TAG) or "[]")
    except (ValueError, RecursionError):
        noted = []  # a client wrote something else there: start the list anew
    model.tags[VERSIONS_TAG] = json.dumps(
        [*(noted if isinstance(noted, list) else []), {"name": name, "version": version}]
    )
    model.save(update_fields=["tags"])
