"""Experiments: create, rename, delete, restore, tag."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from core.answers import require
from core.clock import now_ms
from core.errors import AlreadyExists, Invalid, NotFound
from core.keys import check_key
from tracking.models import Experiment, Lifecycle, Run
from tracking.permissions import can_manage

MAX_NAME = 500
MAX_TAG_VALUE = 20_000



def get_experiment(experiment_id: str) -> Experiment:
    """By the id that clients send. Raises NotFound with MLflow's text."""
    experiment = None
    if experiment_id.isdigit() and len(experiment_id) < 19:
        experiment = Experiment.objects.select_related("user").filter(pk=int(experiment_id)).first()
    if experiment is None:
        raise NotFound(f"No Experiment with id={experiment_id[:60]} exists")
    return experiment


def active_experiment(experiment_id: str) -> Experiment:
    experiment = get_experiment(experiment_id)
    if experiment.lifecycle_stage != Lifecycle.ACTIVE:
        raise Invalid(
            f"The experiment {experiment.pk} must be in the 'active' state. Current state is {experiment.lifecycle_stage}."
        )
    return experiment


def _check_name(name: str) -> str:
    if not name.strip():
        raise Invalid("Invalid experiment name: it is blank.", field="name")
    if len(name) > MAX_NAME:
        raise Invalid(f"An experiment name has at most {MAX_NAME} characters.", field="name")
    return name


def _check_location(location: str) -> str:
    if not location:
        return ""
    if location.split(":", 1)[0].lower() in ("runs", "file") or "#" in location or "?" in location or ".." in location:
        raise Invalid(f"Invalid artifact_location {location[:100]!r}.", field="artifact_location")
    if "://" not in location and not location.startswith("mlflow-artifacts:/"):
        raise Invalid(
            f"Invalid artifact_location {location[:100]!r}: leave it out, and files are kept here.", field="artifact_location"
        )
    return location


@transaction.atomic
def create_experiment(*, actor: User, name: str, artifact_location: str = "", tags: dict[str, str] | None = None) -> Experiment:
    _check_name(name)
    for key, value in (tags or {}).items():
        _check_tag(key, value)
    if Experiment.objects.filter(name=name).exists():
        raise AlreadyExists(f"Experiment '{name}' already exists.")
    experiment = Experiment.objects.create(
        name=name, user=actor, artifact_location=_check_location(artifact_location), tags=tags or {}
    )
    if not artifact_location:
        experiment.artifact_location = f"mlflow-artifacts:/{experiment.pk}"
        experiment.save(update_fields=["artifact_location"])
    return experiment


def _locked(experiment_id: str, actor: User) -> Experiment:
    get_experiment(experiment_id)
    experiment = Experiment.objects.select_for_update().get(pk=int(experiment_id))
    require(can_manage(actor, experiment))
    return experiment


@transaction.atomic
def rename_experiment(*, actor: User, experiment_id: str, name: str) -> Experiment:
    experiment = _locked(experiment_id, actor)
    _check_name(name)
    if Experiment.objects.filter(name=name).exclude(pk=experiment.pk).exists():
        raise AlreadyExists(f"Experiment '{name}' already exists.")
    experiment.name, experiment.last_update_time = name, now_ms()
    experiment.save(update_fields=["name", "last_update_time"])
    return experiment


@transaction.atomic
def set_lifecycle(*, actor: User, experiment_id: str, stage: Lifecycle) -> None:
    """Delete or restore an experiment, its runs with it."""
    experiment = _locked(experiment_id, actor)
    if experiment.lifecycle_stage == stage:
        raise NotFound(f"No Experiment with id={experiment_id} exists that is not {stage} already")
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
    experiment = _locked(experiment_id, actor)
    experiment.tags[key] = value
    experiment.save(update_fields=["tags"])


@transaction.atomic
def delete_experiment_tag(*, actor: User, experiment_id: str, key: str) -> None:
    experiment = _locked(experiment_id, actor)
    if key not in experiment.tags:
        raise NotFound(f"No tag with name: {key} in experiment with id {experiment_id}")
    del experiment.tags[key]
    experiment.save(update_fields=["tags"])
