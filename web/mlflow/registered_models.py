"""/api/2.0/mlflow/registered-models/…"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry import services
from registry.models import RegisteredModel, Stage
from registry.queries import (
    canonical_stage,
    get_model,
    get_model_and_latest,
    get_version,
    get_version_by_alias,
    latest_versions,
    owners_of,
)
from registry.search import FoundModel, Page, latest_of, search_models
from web.gated import gated
from web.mlflow.endpoint import by_method, endpoint
from web.mlflow.messages import Message, found_model, json_list, model_version, registered_model
from web.mlflow.params import Params
from web.signed_in import SignedInRequest

MAX_SEARCH = 1000


def _answer(model: RegisteredModel) -> Message:
    return {"registered_model": registered_model(model, latest_versions(model))}


@endpoint("POST")
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model = services.create_model(
        actor=request.user,
        name=params.string("name", required=True),
        description=params.string("description"),
        tags=params.tags(),
    )
    return _answer(model)


@endpoint("GET", "POST", only_reads=True, looks_up=True)
def get(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model, latest = get_model_and_latest(request.user, params.string("name", required=True))
    return {"registered_model": registered_model(model, latest)}


@endpoint("PATCH", "POST", looks_up=True)
def update(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model = get_model(request.user, params.string("name", required=True))
    return _answer(services.update_model(actor=request.user, model=model, description=params.string("description")))


@endpoint("POST", looks_up=True)
@gated
def rename(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model = get_model(request.user, params.string("name", required=True))
    new_name = params.string("new_name", required=True)
    return _answer(services.rename_model(actor=request.user, model=model, new_name=new_name))


@endpoint("DELETE", looks_up=True)
@gated
def delete(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.delete_model(actor=request.user, model=get_model(request.user, params.string("name", required=True)))
    return {}


@endpoint("GET", "POST", only_reads=True, looks_up=True)
def search(request: SignedInRequest, params: Params) -> dict[str, Any]:
    page = search_models(
        request.user,
        filter_text=params.string("filter"),
        order_by=tuple(params.strings("order_by")),
        limit=params.page_size(most=MAX_SEARCH, default=100),
        page_token=params.string("page_token"),
    )
    return _found(page, owners={})


@endpoint("GET", only_reads=True, looks_up=True)
def list_all(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """By name. MLflow had it until 2.0, Databricks still has."""
    limit = params.page_size(most=MAX_SEARCH, default=100)
    page = search_models(request.user, limit=limit, page_token=params.string("page_token"))
    return _found(page, owners=owners_of(model.id for model in page.rows))


def _found(page: Page[FoundModel], *, owners: Mapping[int, str]) -> dict[str, Any]:
    latest = latest_of(page.rows)
    answer: dict[str, Any] = {}
    if page.rows:
        answer["registered_models"] = json_list(
            found_model(model, latest[model.name], owner=owners.get(model.id, "")) for model in page.rows
        )
    if page.next_page_token:
        answer["next_page_token"] = page.next_page_token
    return answer


@endpoint("POST", "GET", only_reads=True, looks_up=True)
def get_latest_versions(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model, latest = get_model_and_latest(request.user, params.string("name", required=True))
    stages = {canonical_stage(stage) for stage in params.strings("stages")} or set(Stage)
    found = [version for version in latest if version.current_stage in stages]
    return {"model_versions": [model_version(version, model) for version in found]} if found else {}


@endpoint("POST", looks_up=True)
@gated
def set_tag(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model = get_model(request.user, params.string("name", required=True))
    services.set_model_tag(
        actor=request.user, model=model, key=params.string("key", required=True), value=params.string("value")
    )
    return {}


@endpoint("DELETE", looks_up=True)
@gated
def delete_tag(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model = get_model(request.user, params.string("name", required=True))
    services.delete_model_tag(actor=request.user, model=model, key=params.string("key", required=True))
    return {}


@endpoint("POST", looks_up=True)
@gated
def set_alias(request: SignedInRequest, params: Params) -> dict[str, Any]:
    name, alias = params.string("name", required=True), params.string("alias", required=True)
    version = get_version(request.user, name, params.version())
    services.set_alias(actor=request.user, version=version, alias=alias)
    return {}


@endpoint("GET", only_reads=True, looks_up=True)
def get_alias(request: SignedInRequest, params: Params) -> dict[str, Any]:
    name, alias = params.string("name", required=True), params.string("alias", required=True)
    version = get_version_by_alias(request.user, name, alias)
    return {"model_version": model_version(version, version.model)}


@endpoint("DELETE", looks_up=True)
@gated
def delete_alias(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model = get_model(request.user, params.string("name", required=True))
    services.delete_alias(actor=request.user, model=model, alias=params.string("alias", required=True))
    return {}


alias = by_method(GET=get_alias, POST=set_alias, DELETE=delete_alias)
