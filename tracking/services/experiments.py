"""Experiments: create, rename, delete, restore, tag."""

from __future__ import annotations

import re

from django.db import IntegrityError, transaction

from accounts.models import User
from core.answers import require
from core.clock import now_ms
from core.errors import AlreadyExists, Invalid, NotFound
from core.keys import check_key
from tracking.models import Experiment, Lifecycle, Run
from tracking.permissions import can_manage

MAX_NAME = 500
MAX_TAG_VALUE = 20_000


def check_experiment_id(experiment_id: str) -> None:
    if not re.fullmatch("-?[0-9]+", experiment_id):
        raise Invalid(
            f"Invalid experiment ID '{experiment_id[:60]}'. Experiment ID must be a valid integer.",
            field="experiment_id",
        )


def get_experiment(experiment_id: str) -> Experiment:
    """By the id that clients send. Raises Invalid and NotFound with MLflow's texts."""
    check_experiment_id(experiment_id)
    experiment = None
    if re.fullmatch("[0-9]{1,18}", experiment_id):
        experiment = Experiment.objects.select_related("user").filter(pk=int(experiment_id)).first()
    if experiment is None:
        raise NotFound(f"No Experiment with id={experiment_id[:60]} exists")
    return experiment


def _require_active(experiment: Experiment) -> Experiment:
    if experiment.lifecycle_stage != Lifecycle.ACTIVE:
        raise Invalid(
            f"The experiment {experiment.pk} must be in the 'active' state. "
            f"Current state is {experiment.lifecycle_stage}."
        )
    return experiment


def active_experiment(experiment_id: str) -> Experiment:
    return _require_active(get_experiment(experiment_id))


def _check_name(name: str) -> str:
    if not name.strip():
        raise Invalid("Invalid experiment name: it is blank.", field="name")
    if len(name) > MAX_NAME:
        raise Invalid(f"An experiment name has at most {MAX_NAME} characters.", field="name")
    return name


def _require_no_location(location: str) -> None:
    """Files are hashed and frozen here, so they lie here. Taking a location and not using it would be a lie."""
    if location:
        raise Invalid(
            f"Invalid artifact_location {location[:100]!r}: this server keeps the files itself. Leave it out.",
            field="artifact_location",
        )


def _taken(name: str) -> AlreadyExists:
    return AlreadyExists(f"Experiment '{name}' already exists. Deleted experiments keep their name.")


@transaction.atomic
def create_experiment(
    *, actor: User, name: str, artifact_location: str = "", tags: dict[str, str] | None = None
) -> Experiment:
    _check_name(name)
    _require_no_location(artifact_location)
    for key, value in (tags or {}).items():
        _check_tag(key, value)
    experiment = Experiment(name=name, user=actor, tags=tags or {})
    experiment.last_update_time = experiment.creation_time
    try:
        with transaction.atomic():
            experiment.save(force_insert=True)
    except IntegrityError as error:
        raise _taken(name) from error
    experiment.artifact_location = f"mlflow-artifacts:/{experiment.pk}"
    experiment.save(update_fields=["artifact_location"])
    return experiment


def _locked(experiment_id: str, actor: User) -> Experiment:
    get_experiment(experiment_id)
    experiment = Experiment.objects.select_for_update(of=("self",)).select_related("user").get(pk=int(experiment_id))
    require(can_manage(actor, experiment))
    return experiment


@transaction.atomic
def rename_experiment(*, actor: User, experiment_id: str, name: str) -> Experiment:
    experiment = _require_active(_locked(experiment_id, actor))
    _check_name(name)
    experiment.name, experiment.last_update_time = name, now_ms()
    try:
        with transaction.atomic():
            experiment.save(update_fields=["name", "last_update_time"])
    except IntegrityError as error:
        raise _taken(name) from error
    return experiment


@transaction.atomic
def set_lifecycle(*, actor: User, experiment_id: str, stage: Lifecycle) -> None:
    """Delete or restore an experiment, its runs with it."""
    experiment = _locked(experiment_id, actor)
    if experiment.lifecycle_stage == stage:
        raise NotFound(f"No Experiment with id={experiment_id} exists: it is {stage} already")
    experiment.lifecycle_stage, experiment.last_update_time = stage, now_ms()
    experiment.save(update_fields=["lifecycle_stage", "last_update_time"])
    Run.objects.filter(experiment=experiment).update(lifecycle_stage=stage)


def _check_tag(key: str, value: str) -> None:
    check_key(key, "tag")
    if len(value) > MAX_TAG_VALUE:
        raise Invalid(f"The value of tag '{key}' has more than {MAX_TAG_VALUE} characters.", field="value")


@transaction.atomic
def set_experiment_tag(*, actor: User, experiment_id: str, key: str, value: str) -> None:
    _check_tag(key, value)
    experiment = _require_active(_locked(experiment_id, actor))
    experiment.tags[key] = value
    experiment.save(update_fields=["tags"])


@transaction.atomic
def delete_experiment_tag(*, actor: User, experiment_id: str, key: str) -> None:
    experiment = _require_active(_locked(experiment_id, actor))
    if key not in experiment.tags:
        raise NotFound(f"No tag with name: {key[:250]} in experiment with id {experiment_id}")
    del experiment.tags[key]
    experiment.save(update_fields=["tags"])
