"""/api/2.0/mlflow/transition-requests/…: a request is known by its version, its stage and who made it."""

from __future__ import annotations

from typing import Any

from approvals import services
from approvals.models import Review
from notifications.models import Event
from registry.gate import Target
from registry.models import ModelVersion, TargetKind
from registry.queries import canonical_stage, get_version
from web.mlflow.databricks_messages import activity, open_requests, transition_requests
from web.mlflow.endpoint import endpoint
from web.mlflow.params import Params
from web.signed_in import SignedInRequest

NO_REASON = "No reason was given."  # Databricks rejects without one


@endpoint("POST", looks_up=True)
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    version, target, comment = _asked(request, params)
    opened = services.open_request(actor=request.user, version=version, target=target, comment=comment)
    [message] = transition_requests(request.user, [opened])
    return {"request": message}


@endpoint("GET", only_reads=True, looks_up=True)
def list_open(request: SignedInRequest, params: Params) -> dict[str, Any]:
    version = get_version(request.user, params.string("name", required=True), params.version())
    return {"requests": open_requests(request.user, version)}


@endpoint("POST", looks_up=True)
def approve(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """Where a policy asks for more, the version stays until that is there too."""
    named = params.has("archive_existing_versions")
    archive = params.boolean("archive_existing_versions", spelled=True) if named else None
    version, target, comment = _asked(request, params)
    [judged, *_] = services.review_requests_for(
        actor=request.user,
        version=version,
        target=target,
        decision=Review.Decision.APPROVE,
        comment=comment,
        archive_existing=archive,
    )
    return _decided(request, judged.pk, "review.approved", version)


@endpoint("POST", looks_up=True)
def reject(request: SignedInRequest, params: Params) -> dict[str, Any]:
    version, target, comment = _asked(request, params)
    [judged, *_] = services.review_requests_for(
        actor=request.user,
        version=version,
        target=target,
        decision=Review.Decision.REJECT,
        comment=comment or NO_REASON,
    )
    return _decided(request, judged.pk, "request.rejected", version)


@endpoint("DELETE", looks_up=True)
def delete(request: SignedInRequest, params: Params) -> dict[str, Any]:
    creator = params.string("creator", required=True)
    version, target, comment = _asked(request, params)
    withdrawn = services.withdraw_request_of(
        actor=request.user, creator=creator, version=version, target=target, comment=comment
    )
    return _decided(request, withdrawn.pk, "request.withdrawn", version)


def _asked(request: SignedInRequest, params: Params) -> tuple[ModelVersion, Target, str]:
    """The version, the stage and the comment that a call names."""
    name, number = params.string("name", required=True), params.version()
    stage = canonical_stage(params.string("stage", required=True))
    comment = params.string("comment")
    return get_version(request.user, name, number), Target(TargetKind.STAGE, stage), comment


def _decided(request: SignedInRequest, request_id: int, kind: str, version: ModelVersion) -> dict[str, Any]:
    """``version`` as it was before."""
    events = Event.objects.filter(request_id=request_id, kind=kind, actor=request.user)
    event = events.select_related("actor").latest("id")
    return {"activity": activity(event, from_stage=version.current_stage)}
