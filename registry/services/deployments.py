"""Where versions run, as what deploys them reports it. It moves nothing: no stage, no alias, no request."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from core.answers import require
from core.clock import now
from core.errors import Invalid, NotFound
from core.lines import check_line, check_link
from notifications.events import record
from registry import gate
from registry.events import DeploymentDeleted, DeploymentFailed, DeploymentReported, about_version
from registry.gate import Change, ChangeKind
from registry.models import Deployment, ModelVersion, RegisteredModel
from registry.permissions import can_edit, can_read
from registry.services._rows import lock_model, lock_version

Status = Deployment.Status


@transaction.atomic
def report_deployment(
    *, actor: User, version: ModelVersion, name: str, status: str = Status.RUNNING, link: str = ""
) -> Deployment:
    """Say which version runs at a place, and how that stands. What was said before is replaced; what is known already
    changes nothing and is no event. Who registered the version is told when it fails."""
    _check_name(name)
    check_link(link)
    if status not in Status.values:
        raise Invalid(f"A deployment is {', '.join(Status.values)}.", field="status")
    version = lock_version(version)
    require(can_edit(actor, version.model))
    gate.enforce(Change(ChangeKind.REPORT_DEPLOYMENT, actor, version.model, version))
    before = Deployment.objects.filter(model=version.model, name=name).select_related("version").first()
    if before and (before.version_id, before.status, before.link) == (version.pk, status, link):
        return before
    said = {"version": version, "status": Status(status), "link": link, "reporter": actor, "reported_at": now()}
    deployment, _ = Deployment.objects.update_or_create(model=version.model, name=name, defaults=said)
    is_other = before is not None and before.version_id != version.pk
    goes_on = before is not None and not is_other and before.status == Status.FAILED
    announcement = DeploymentFailed if status == Status.FAILED and not goes_on else DeploymentReported
    told = [version.user.pk] if version.user and can_read(version.user, version.model) else []
    record(
        announcement(
            **about_version(version),
            deployment=name,
            status=status,
            link=link,
            previous_version=before.version.version if before and is_other else None,
        ),
        actor=actor,
        audience=told if announcement is DeploymentFailed else (),
    )
    return deployment


@transaction.atomic
def delete_deployment(*, actor: User, model: RegisteredModel, name: str) -> None:
    """Forget a place where nothing of the model runs any more. What was reported stays in the record."""
    model = lock_model(model)
    require(can_edit(actor, model))
    gate.enforce(Change(ChangeKind.DELETE_DEPLOYMENT, actor, model))
    deployment = Deployment.objects.filter(model=model, name=name).select_related("version").first()
    if deployment is None:
        raise NotFound(f"{model.name} has no deployment '{name[:250]}'.")
    deployment.delete()
    deployment.version.model = model
    record(DeploymentDeleted(**about_version(deployment.version), deployment=name), actor=actor)


def _check_name(name: str) -> None:
    if not name.strip() or name != name.strip():
        raise Invalid("A deployment has a name, without space around it.", field="name")
    if "/" in name or name in (".", ".."):
        raise Invalid(
            "The name of a deployment has no '/' and is not '.' or '..': it is part of an address.", field="name"
        )
    check_line(name, field="name", most=250)
