"""/api/2.0/mlflow/runs/…"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tracking.models import Lifecycle, Run, RunDataset
from tracking.search import VIEW_TYPES, search_runs
from tracking.services import runs as services
from tracking.services.runs import DatasetInput, Metric
from web.mlflow import messages
from web.mlflow.endpoint import endpoint
from web.mlflow.params import Params, missing
from web.signed_in import SignedInRequest

STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
MAX_SEARCH = 50_000


def _run_id(params: Params) -> str:
    return params.string("run_id") or params.string("run_uuid") or _no_run()


def _no_run() -> str:
    raise missing("run_id")


@endpoint("POST")
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run = services.create_run(
        actor=request.user,
        experiment_id=params.string("experiment_id", required=True),
        run_name=params.string("run_name"),
        user_id=params.string("user_id"),
        start_time=params.integer("start_time", low=0),
        tags=params.tags(),
    )
    message = messages.run_message(run)
    del message["outputs"]
    return {"run": message}


@endpoint("GET", only_reads=True)
def get(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run = services.get_run(_run_id(params))
    return {"run": messages.run_message(run, RunDataset.objects.filter(run=run).order_by("pk"))}


@endpoint("POST")
def update(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run = services.update_run(
        actor=request.user,
        run_id=_run_id(params),
        status=params.choice("status", STATUSES),
        end_time=params.integer("end_time", low=0),
        run_name=params.string("run_name"),
    )
    return {"run_info": messages.run_info(run)}


@endpoint("POST")
def delete(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.set_run_lifecycle(actor=request.user, run_id=_run_id(params), stage=Lifecycle.DELETED)
    return {}


@endpoint("POST")
def restore(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.set_run_lifecycle(actor=request.user, run_id=_run_id(params), stage=Lifecycle.ACTIVE)
    return {}


def _metric(params: Params) -> Metric:
    return Metric(
        key=params.string("key", required=True),
        value=params.double("value"),
        timestamp=params.integer("timestamp", required=True) or 0,
        step=params.integer("step", default=0) or 0,
        model_id=params.string("model_id", max_length=64),
        dataset_name=params.string("dataset_name", max_length=500),
        dataset_digest=params.string("dataset_digest", max_length=36),
    )


@endpoint("POST")
def log_metric(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run_id = _run_id(params)
    services.log_batch(actor=request.user, run_id=run_id, metrics=[_metric(params)])
    return {}


@endpoint("POST")
def log_parameter(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run_id, key = _run_id(params), params.string("key", required=True)
    services.log_batch(actor=request.user, run_id=run_id, params=[(key, params.string("value"))])
    return {}


@endpoint("POST")
def log_batch(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.log_batch(
        actor=request.user,
        run_id=_run_id(params),
        metrics=[_metric(item) for item in params.objects("metrics")],
        params=[(item.string("key", required=True), item.string("value")) for item in params.objects("params")],
        tags=params.tags(),
    )
    return {}


@endpoint("POST")
def set_tag(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run_id, key = _run_id(params), params.string("key", required=True)
    services.set_run_tag(actor=request.user, run_id=run_id, key=key, value=params.string("value"))
    return {}


@endpoint("POST")
def delete_tag(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.delete_run_tag(actor=request.user, run_id=_run_id(params), key=params.string("key", required=True))
    return {}


@endpoint("POST")
def log_inputs(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run_id, datasets = _run_id(params), []
    for item in params.objects("datasets"):
        dataset = item.object("dataset")
        tags = {
            tag.string("key", required=True, max_length=255): tag.string("value", max_length=500)
            for tag in item.objects("tags")
        }
        datasets.append(
            DatasetInput(
                name=dataset.string("name", required=True, max_length=500),
                digest=dataset.string("digest", required=True, max_length=36),
                source_type=dataset.string("source_type", max_length=36),
                source=dataset.string("source", max_length=65_535),
                schema=dataset.string("schema", max_length=1_048_575),
                profile=dataset.string("profile", max_length=16_777_215),
                tags=tags,
            )
        )
    models = [item.string("model_id", required=True, max_length=64) for item in params.objects("models")]
    services.log_inputs(actor=request.user, run_id=run_id, datasets=datasets, models=models)
    return {}


@endpoint("POST")
def log_outputs(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run_id = _run_id(params)
    if not params.has("models"):
        raise missing("models")
    models = [
        (item.string("model_id", required=True, max_length=64), item.integer("step", default=0) or 0)
        for item in params.objects("models")
    ]
    services.log_outputs(actor=request.user, run_id=run_id, models=models)
    return {}


@endpoint("POST")
def log_model(request: SignedInRequest, params: Params) -> dict[str, Any]:
    model_json = params.string("model_json", required=True)
    services.log_model_json(actor=request.user, run_id=_run_id(params), model_json=model_json)
    return {}


@endpoint("POST", only_reads=True)
def search(request: SignedInRequest, params: Params) -> dict[str, Any]:
    limit = params.page_size(most=MAX_SEARCH, default=1000)
    page = search_runs(
        params.strings("experiment_ids"),
        filter_text=params.string("filter"),
        view_type=params.choice("run_view_type", VIEW_TYPES, default="ACTIVE_ONLY"),
        order_by=params.strings("order_by"),
        limit=limit,
        page_token=params.string("page_token"),
    )
    answer: dict[str, Any] = {}
    if page.rows:
        datasets = _datasets(page.rows)
        answer["runs"] = [messages.run_message(run, datasets[run.run_id]) for run in page.rows]
    if page.next_page_token:
        answer["next_page_token"] = page.next_page_token
    return answer


def _datasets(runs: list[Run]) -> dict[str, list[RunDataset]]:
    found: dict[str, list[RunDataset]] = defaultdict(list)
    # Profiles reach 16 MB each: runs/get has them, a page of a thousand runs does not.
    rows = RunDataset.objects.defer("profile").order_by("pk")
    for start in range(0, len(runs), 5000):  # SQLite takes 32,766 parameters in a statement
        for dataset in rows.filter(run__in=runs[start : start + 5000]):
            found[dataset.run_id].append(dataset)
    return found
