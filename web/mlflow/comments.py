"""/api/2.0/mlflow/comments/…: remarks on a version. New ones are outside any request."""

from __future__ import annotations

from typing import Any

from approvals import services
from approvals.models import Comment
from approvals.queries import get_comment
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


@endpoint("PATCH")
def update(request: SignedInRequest, params: Params) -> dict[str, Any]:
    comment, text = _find(request, params), params.string("comment", required=True)
    edited = services.edit_comment(actor=request.user, comment=comment, text=text)
    return {"comment": comment_message(edited, request.user)}


@endpoint("DELETE")
def delete(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.delete_comment(actor=request.user, comment=_find(request, params))
    return {}


def _find(request: SignedInRequest, params: Params) -> Comment:
    return get_comment(request.user, params.string("id", required=True))
