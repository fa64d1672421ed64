"""State for tests: rows as the services would leave them, made without asking for rights or the gate.

Tests about a service call the service; tests about what comes after start from here.
"""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Iterable
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction

from accounts.models import User
from core.clock import now_ms
from core.digests import tree_digest
from registry import evidence
from registry.models import (
    HELD_STAGES,
    Alias,
    ArtifactFile,
    Deployment,
    LatestVersion,
    ModelVersion,
    RegisteredModel,
    Stage,
    StageHolding,
    TargetKind,
    says_prompt,
)
from tracking.models import Experiment, LoggedModel, MetricPoint, Run

_numbers = itertools.count(1)


def make_user(username: str = "", **fields: Any) -> User:
    """A person without grants."""
    user = User(username=username or f"user-{next(_numbers)}", **fields)
    user.set_unusable_password()
    user.save()
    return user


def make_experiment(name: str = "") -> Experiment:
    experiment = Experiment.objects.create(
        name=name or f"experiment-{next(_numbers)}", artifact_location="mlflow-artifacts:/"
    )
    experiment.artifact_location = f"mlflow-artifacts:/{experiment.pk}"
    experiment.save(update_fields=["artifact_location"])
    return experiment


def make_run(
    *,
    metrics: dict[str, float] | None = None,
    params: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
    user: User | None = None,
    experiment: Experiment | None = None,
    **fields: Any,
) -> Run:
    """A finished run with its last metric values and their history."""
    start = now_ms()
    run = Run.objects.create(
        run_id=fields.pop("run_id", uuid.uuid4().hex),
        experiment=experiment or make_experiment(),
        run_name=fields.pop("run_name", f"run-{next(_numbers)}"),
        user=user,
        status=fields.pop("status", Run.Status.FINISHED),
        start_time=start,
        end_time=start + 1000,
        params=params or {},
        tags=tags or {},
        metrics={key: {"value": value, "timestamp": start, "step": 0} for key, value in (metrics or {}).items()},
        **fields,
    )
    MetricPoint.objects.bulk_create(
        MetricPoint(run=run, key=key, value=value, timestamp=start) for key, value in (metrics or {}).items()
    )
    return run


def make_logged_model(run: Run | None = None, **fields: Any) -> LoggedModel:
    return LoggedModel.objects.create(
        model_id=f"m-{uuid.uuid4().hex}",
        experiment=run.experiment if run else make_experiment(),
        name=fields.pop("name", "model"),
        source_run_id=run.run_id if run else "",
        user=run.user if run else None,
        status=LoggedModel.Status.READY,
        **fields,
    )


def make_files(owner_id: str, files: dict[str, bytes]) -> list[ArtifactFile]:
    """Uploaded files of a run or a logged model, rows and bytes."""
    made = []
    for path, content in files.items():
        key = default_storage.save(f"tests/{uuid.uuid4().hex}", ContentFile(content))
        made.append(
            ArtifactFile.objects.create(
                owner_id=owner_id,
                path=path,
                size=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                storage_key=key,
            )
        )
    return made


def make_model(
    name: str = "", *, user: User | None = None, tags: dict[str, str] | None = None, **fields: Any
) -> RegisteredModel:
    return RegisteredModel.objects.create(
        name=name or f"model-{next(_numbers)}",
        user=user,
        tags=tags or {},
        is_prompt=says_prompt(tags or {}),
        **fields,
    )


@transaction.atomic
def make_version(
    model: RegisteredModel | str = "",
    *,
    stage: str = Stage.NONE,
    aliases: Iterable[str] = (),
    user: User | None = None,
    run: Run | None = None,
    metrics: dict[str, float] | None = None,
    files: dict[str, bytes] | None = None,
    tags: dict[str, str] | None = None,
    **fields: Any,
) -> ModelVersion:
    """The next version of ``model`` (made when it is only named), in a stage and under aliases, with a run and files.

    ``files`` are relative to the version; by default one file whose content differs from version to version. With a
    ``run_id`` of nobody, its run lies elsewhere.
    """
    if isinstance(model, str):
        model = RegisteredModel.objects.live().filter(name=model).first() or make_model(model, user=user)
    model.last_version += 1
    number = model.last_version
    run = run or make_run(metrics=metrics, user=user)
    run_id = fields.pop("run_id", run.run_id)
    if files is None:
        files = {"model.skops": f"{model.pk}/{number}".encode()}
    folder = f"model-{number}-of-{model.pk}"
    rows = make_files(run.run_id, {f"{folder}/{path}": content for path, content in files.items()})
    tree = [(row.path.removeprefix(f"{folder}/"), row.size, row.sha256) for row in rows]
    location = f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts/{folder}"
    version = ModelVersion.objects.create(
        model=model,
        version=number,
        current_stage=stage,
        user=user,
        run_id=run_id,
        source=location,
        storage_location=location,
        artifact_owner=run.run_id if rows else "",
        artifact_folder=folder if rows else "",
        digest=tree_digest(tree) if rows else "",
        file_count=len(rows),
        total_size=sum(row.size for row in rows),
        tags=tags or {},
        **fields,
    )
    Run.objects.filter(pk=run.pk).update(has_versions=True)
    LatestVersion.objects.update_or_create(model=model, stage=stage, defaults={"version": version})
    if stage in HELD_STAGES:
        _hold(version, TargetKind.STAGE, stage, user)
    for alias in aliases:
        StageHolding.objects.filter(model=model, target_kind=TargetKind.ALIAS, target=alias, until=None).delete()
        Alias.objects.update_or_create(model=model, name=alias, defaults={"version": version, "set_by": user})
        model.aliases[alias] = number
        _hold(version, TargetKind.ALIAS, alias, user)
    model.save(update_fields=["last_version", "aliases"])
    evidence.refresh(version)
    return version


def make_deployment(version: ModelVersion, name: str, **fields: Any) -> Deployment:
    reporter = fields.pop("reporter", None) or version.user or make_user()
    return Deployment.objects.create(model=version.model, version=version, name=name, reporter=reporter, **fields)


def _hold(version: ModelVersion, kind: TargetKind, target: str, user: User | None) -> None:
    StageHolding.objects.create(model=version.model, version=version, target_kind=kind, target=target, set_by=user)
