"""/api/2.0/mlflow/model-versions/…"""

from __future__ import annotations

from typing import Any

from registry import services
from registry.models import ModelVersion
from registry.queries import canonical_stage, get_model, get_version
from registry.search import search_versions
from web.gated import gated
from web.mlflow.endpoint import endpoint
from web.mlflow.messages import found_version, json_list, model_version
from web.mlflow.params import Params
from web.signed_in import SignedInRequest

MAX_SEARCH = 200_000


def _version(request: SignedInRequest, params: Params) -> ModelVersion:
    return get_version(request.user, params.string("name", required=True), params.version())


def _answer(version: ModelVersion) -> dict[str, Any]:
    return {"model_version": model_version(version, version.model)}


@endpoint("POST", looks_up=True)
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    name, source = params.string("name", required=True), params.string("source", required=True)
    return _answer(
        services.create_version(
            actor=request.user,
            model=get_model(request.user, name),
            source=source,
            run_id=params.string("run_id"),
            model_id=params.string("model_id"),
            run_link=params.string("run_link"),
            description=params.string("description"),
            tags=params.tags(),
        )
    )


@endpoint("GET", only_reads=True, looks_up=True)
def get(request: SignedInRequest, params: Params) -> dict[str, Any]:
    return _answer(_version(request, params))


@endpoint("PATCH", "POST", looks_up=True)
def update(request: SignedInRequest, params: Params) -> dict[str, Any]:
    version = _version(request, params)
    return _answer(
        services.update_version(actor=request.user, version=version, description=params.string("description"))
    )


@endpoint("POST", looks_up=True)
@gated
def transition_stage(request: SignedInRequest, params: Params) -> dict[str, Any]:
    name, number = params.string("name", required=True), params.version()
    stage = canonical_stage(params.string("stage", required=True))
    archive = params.boolean("archive_existing_versions")
    version = get_version(request.user, name, number)
    return _answer(services.move_to_stage(actor=request.user, version=version, stage=stage, archive_existing=archive))


@endpoint("DELETE", looks_up=True)
@gated
def delete(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.delete_version(actor=request.user, version=_version(request, params))
    return {}


@endpoint("GET", "POST", only_reads=True, looks_up=True)
def search(request: SignedInRequest, params: Params) -> dict[str, Any]:
    limit = params.page_size(most=MAX_SEARCH, default=MAX_SEARCH)
    page = search_versions(
        request.user,
        filter_text=params.string("filter"),
        order_by=tuple(params.strings("order_by")),
        limit=limit,
        page_token=params.string("page_token"),
    )
    answer: dict[str, Any] = {}
    if page.rows:
        answer["model_versions"] = json_list(found_version(row) for row in page.rows)
    if page.next_page_token:
        answer["next_page_token"] = page.next_page_token
    return answer


@endpoint("GET", only_reads=True, looks_up=True)
def get_download_uri(request: SignedInRequest, params: Params) -> dict[str, Any]:
    return {"artifact_uri": _version(request, params).storage_location}


@endpoint("POST", looks_up=True)
@gated
def set_tag(request: SignedInRequest, params: Params) -> dict[str, Any]:
    version = _version(request, params)
    key = params.string("key", required=True)
    services.set_version_tag(actor=request.user, version=version, key=key, value=params.string("value"))
    return {}


@endpoint("DELETE", looks_up=True)
@gated
def delete_tag(request: SignedInRequest, params: Params) -> dict[str, Any]:
    version = _version(request, params)
    services.delete_version_tag(actor=request.user, version=version, key=params.string("key", required=True))
    return {}
