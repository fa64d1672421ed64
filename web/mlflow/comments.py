"""/api/2.0/mlflow/comments/…: remarks on a version, outside any request."""

from __future__ import annotations

from typing import Any

from approvals import services
from registry.queries import get_version
from web.mlflow.databricks_messages import comment_message
from web.mlflow.endpoint import endpoint
from web.mlflow.params import Params
from web.signed_in import SignedInRequest


@endpoint("POST", looks_up=True)
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    name, number, text = params.string("name", required=True), params.version(), params.string("comment", required=True)
    version = get_version(request.user, name, number)
    comment = services.add_comment(actor=request.user, version=version, text=text)
    return {"comment": comment_message(comment, request.user)}
