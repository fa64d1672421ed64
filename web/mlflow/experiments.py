"""/api/2.0/mlflow/experiments/…"""

from __future__ import annotations

from typing import Any

from core.errors import Invalid, NotFound
from tracking.models import Experiment, Lifecycle
from tracking.search import VIEW_TYPES, datasets_of_experiments, search_experiments
from tracking.services import experiments as services
from web.mlflow import messages
from web.mlflow.endpoint import endpoint
from web.mlflow.params import Params
from web.signed_in import SignedInRequest

MAX_SEARCH = 50_000
MAX_DATASET_EXPERIMENTS = 20


@endpoint("POST")
def create(request: SignedInRequest, params: Params) -> dict[str, Any]:
    experiment = services.create_experiment(
        actor=request.user,
        name=params.string("name", required=True),
        artifact_location=params.string("artifact_location", max_length=500),
        tags=params.tags(),
    )
    return {"experiment_id": str(experiment.pk)}


@endpoint("GET", only_reads=True)
def get(request: SignedInRequest, params: Params) -> dict[str, Any]:
    return {"experiment": messages.experiment(services.get_experiment(params.string("experiment_id", required=True)))}


@endpoint("GET", only_reads=True)
def get_by_name(request: SignedInRequest, params: Params) -> dict[str, Any]:
    name = params.string("experiment_name", required=True)
    experiment = Experiment.objects.filter(name=name).first()
    if experiment is None:
        raise NotFound(f"Could not find experiment with name '{name[:500]}'")
    return {"experiment": messages.experiment(experiment)}


@endpoint("POST")
def update(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.rename_experiment(
        actor=request.user,
        experiment_id=params.string("experiment_id", required=True),
        name=params.string("new_name", required=True),
    )
    return {}


@endpoint("POST")
def delete(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.set_lifecycle(
        actor=request.user, experiment_id=params.string("experiment_id", required=True), stage=Lifecycle.DELETED
    )
    return {}


@endpoint("POST")
def restore(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.set_lifecycle(
        actor=request.user, experiment_id=params.string("experiment_id", required=True), stage=Lifecycle.ACTIVE
    )
    return {}


@endpoint("POST")
def set_tag(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.set_experiment_tag(
        actor=request.user,
        experiment_id=params.string("experiment_id", required=True),
        key=params.string("key", required=True),
        value=params.string("value"),
    )
    return {}


@endpoint("POST")
def delete_tag(request: SignedInRequest, params: Params) -> dict[str, Any]:
    services.delete_experiment_tag(
        actor=request.user,
        experiment_id=params.string("experiment_id", required=True),
        key=params.string("key", required=True),
    )
    return {}


@endpoint("POST", "GET", only_reads=True)
def search(request: SignedInRequest, params: Params) -> dict[str, Any]:
    limit = params.page_size(most=MAX_SEARCH)
    page = search_experiments(
        filter_text=params.string("filter"),
        view_type=params.choice("view_type", VIEW_TYPES, default="ACTIVE_ONLY"),
        order_by=params.strings("order_by"),
        limit=limit,
        page_token=params.string("page_token"),
    )
    answer: dict[str, Any] = {}
    if page.rows:
        answer["experiments"] = [messages.experiment(row) for row in page.rows]
    if page.next_page_token:
        answer["next_page_token"] = page.next_page_token
    return answer


@endpoint("POST", only_reads=True)
def search_datasets(request: SignedInRequest, params: Params) -> dict[str, Any]:
    experiment_ids = params.strings("experiment_ids")
    if not experiment_ids:
        raise Invalid("SearchDatasets request must specify at least one experiment_id.", field="experiment_ids")
    if len(experiment_ids) > MAX_DATASET_EXPERIMENTS:
        raise Invalid(
            f"SearchDatasets request cannot specify more than {MAX_DATASET_EXPERIMENTS} experiment_ids. "
            f"Received {len(experiment_ids)} experiment_ids.",
            field="experiment_ids",
        )
    found = datasets_of_experiments(experiment_ids)
    return {"dataset_summaries": [messages.dataset_summary(summary) for summary in found]} if found else {}
