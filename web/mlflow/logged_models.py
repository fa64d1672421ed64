"""/api/2.0/mlflow/logged-models/…"""

from __future__ import annotations

from typing import Any

from tracking.search import ModelOrder, search_logged_models
from tracking.services import logged_models as services
from web.mlflow import messages
from web.mlflow.endpoint import by_method, endpoint
from web.mlflow.params import Params, missing
from web.signed_in import SignedInRequest

STATUSES = ("LOGGED_MODEL_PENDING", "LOGGED_MODEL_READY", "LOGGED_MODEL_UPLOAD_FAILED")
MAX_SEARCH = 1000


def _pairs(params: Params, field: str) -> dict[str, str]:
    return {item.string("key", required=True): item.string("value") for item in params.objects(field)}


@endpoint("POST")
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model = services.create_logged_model(
        actor=request.user,
        experiment_id=params.string("experiment_id", required=True),
        name=params.string("name"),
        model_type=params.string("model_type"),
        source_run_id=params.string("source_run_id"),
        params=_pairs(params, "params"),
        tags=_pairs(params, "tags"),
    )
    return {"model": messages.logged_model(model)}


@endpoint("GET", only_reads=True)
def _get(request: SignedInRequest, params: Params, *, model_id: str) -> dict[str, Any]:
    model = services.get_logged_model(model_id, allow_deleted=params.boolean("allow_deleted"))
    return {"model": messages.logged_model(model)}


@endpoint("PATCH")
def _finalize(request: SignedInRequest, params: Params, *, model_id: str) -> dict[str, Any]:
    status = params.choice("status", STATUSES)
    if not status:
        raise missing("status")
    model = services.finalize_logged_model(actor=request.user, model_id=model_id, status=status)
    return {"model": messages.logged_model(model)}


@endpoint("DELETE")
def _delete(request: SignedInRequest, params: Params, *, model_id: str) -> dict[str, Any]:
    services.delete_logged_model(actor=request.user, model_id=model_id)
    return {}


one = by_method(GET=_get, PATCH=_finalize, DELETE=_delete)


@endpoint("PATCH")
def set_tags(request: SignedInRequest, params: Params, *, model_id: str) -> dict[str, Any]:
    services.set_logged_model_tags(actor=request.user, model_id=model_id, tags=_pairs(params, "tags"))
    return {}


@endpoint("DELETE")
def delete_tag(request: SignedInRequest, params: Params, *, model_id: str, key: str) -> dict[str, Any]:
    services.delete_logged_model_tag(actor=request.user, model_id=model_id, key=key)
    return {}


@endpoint("POST")
def log_params(request: SignedInRequest, params: Params, *, model_id: str) -> dict[str, Any]:
    services.log_params(actor=request.user, model_id=model_id, params=_pairs(params, "params"))
    return {}


def _order(params: Params) -> ModelOrder:
    return ModelOrder(
        field=params.string("field_name", required=True),
        ascending=params.boolean("ascending", default=True),
        dataset_name=params.string("dataset_name"),
        dataset_digest=params.string("dataset_digest"),
    )


@endpoint("POST", only_reads=True)
def search(request: SignedInRequest, params: Params) -> dict[str, Any]:
    if not params.has("experiment_ids"):
        raise missing("experiment_ids")
    limit = params.page_size(most=MAX_SEARCH, default=50)
    page = search_logged_models(
        params.strings("experiment_ids"),
        filter_text=params.string("filter"),
        order_by=[_order(item) for item in params.objects("order_by")],
        datasets=[
            (item.string("dataset_name", required=True), item.string("dataset_digest"))
            for item in params.objects("datasets")
        ],
        limit=limit,
        page_token=params.string("page_token"),
    )
    answer: dict[str, Any] = {}
    if page.rows:
        answer["models"] = [messages.logged_model(row) for row in page.rows]
    if page.next_page_token:
        answer["next_page_token"] = page.next_page_token
    return answer
