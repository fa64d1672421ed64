"""/api/2.0/mlflow/databricks/…, and who the caller is: what a Databricks workspace says beyond MLflow's own calls."""

from __future__ import annotations

from typing import Any

from accounts.models import ADMINS
from registry import services
from registry.models import HELD_STAGES
from registry.queries import canonical_stage, get_model_and_latest, get_version
from web.gated import gated
from web.mlflow.databricks_messages import databricks_model, databricks_version
from web.mlflow.endpoint import endpoint
from web.mlflow.params import Params
from web.signed_in import SignedInRequest


@endpoint("GET", only_reads=True, looks_up=True)
def get_model(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model, latest = get_model_and_latest(request.user, params.string("name", required=True))
    return {"registered_model_databricks": databricks_model(model, latest, request.user)}


@endpoint("POST", looks_up=True)
@gated
def transition_stage(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """As MLflow's call, but with a comment, and asking to archive the holders of None or Archived means nothing."""
    name, number = params.string("name", required=True), params.version()
    stage = canonical_stage(params.string("stage", required=True))
    archive = params.boolean("archive_existing_versions", spelled=True)
    comment = params.string("comment")
    moved = services.move_to_stage(
        actor=request.user,
        version=get_version(request.user, name, number),
        stage=stage,
        archive_existing=archive and stage in HELD_STAGES,
        comment=comment,
    )
    return {"model_version_databricks": databricks_version(moved, request.user)}


@endpoint("GET", only_reads=True)
def me(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """The caller as SCIM describes a user; the administrators are Databricks' group admins."""
    user = request.user
    groups = [*user.teams.values_list("name", flat=True), *([ADMINS] if user.is_superuser else [])]
    answer: dict[str, Any] = {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(user.pk),
        "userName": user.username,
        "displayName": user.display_name,
        "active": user.is_active,
        "groups": [{"display": name} for name in groups],
    }
    return {**answer, "emails": [{"value": user.email, "primary": True}]} if user.email else answer
