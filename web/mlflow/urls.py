"""The URL table of the MLflow protocol. Every path is served under /api and, for browsers, under /ajax-api."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponseBase
from django.urls import URLPattern, URLResolver, include, path

from web.mlflow import (
    artifacts,
    comments,
    databricks,
    experiments,
    logged_models,
    metrics,
    model_versions,
    permissions,
    registered_models,
    registry_webhooks,
    runs,
    server,
    transition_requests,
    webhooks,
)

REGISTRY = {
    "registered-models/create": registered_models.create,
    "registered-models/get": registered_models.get,
    "registered-models/search": registered_models.search,
    "registered-models/get-latest-versions": registered_models.get_latest_versions,
    "registered-models/update": registered_models.update,
    "registered-models/rename": registered_models.rename,
    "registered-models/delete": registered_models.delete,
    "registered-models/set-tag": registered_models.set_tag,
    "registered-models/delete-tag": registered_models.delete_tag,
    "registered-models/alias": registered_models.alias,
    "model-versions/create": model_versions.create,
    "model-versions/get": model_versions.get,
    "model-versions/search": model_versions.search,
    "model-versions/update": model_versions.update,
    "model-versions/transition-stage": model_versions.transition_stage,
    "model-versions/delete": model_versions.delete,
    "model-versions/get-download-uri": model_versions.get_download_uri,
    "model-versions/set-tag": model_versions.set_tag,
    "model-versions/delete-tag": model_versions.delete_tag,
}
# What a Databricks workspace serves besides. Its clients send some of these paths, and those above, below preview/ too.
DATABRICKS = {
    "registered-models/list": registered_models.list_all,
    "databricks/registered-models/get": databricks.get_model,
    "databricks/model-versions/transition-stage": databricks.transition_stage,
    "transition-requests/create": transition_requests.create,
    "transition-requests/list": transition_requests.list_open,
    "transition-requests/approve": transition_requests.approve,
    "transition-requests/reject": transition_requests.reject,
    "transition-requests/delete": transition_requests.delete,
    "comments/create": comments.create,
    "comments/update": comments.update,
    "comments/delete": comments.delete,
    "registry-webhooks/create": registry_webhooks.create,
    "registry-webhooks/list": registry_webhooks.list_all,
    "registry-webhooks/update": registry_webhooks.update,
    "registry-webhooks/delete": registry_webhooks.delete,
    "registry-webhooks/test": registry_webhooks.test,
}
TRACKING = {
    "experiments/create": experiments.create,
    "experiments/get": experiments.get,
    "experiments/get-by-name": experiments.get_by_name,
    "experiments/search": experiments.search,
    "experiments/search-datasets": experiments.search_datasets,
    "experiments/update": experiments.update,
    "experiments/delete": experiments.delete,
    "experiments/restore": experiments.restore,
    "experiments/set-experiment-tag": experiments.set_tag,
    "experiments/delete-experiment-tag": experiments.delete_tag,
    "runs/create": runs.create,
    "runs/get": runs.get,
    "runs/update": runs.update,
    "runs/delete": runs.delete,
    "runs/restore": runs.restore,
    "runs/search": runs.search,
    "runs/log-metric": runs.log_metric,
    "runs/log-parameter": runs.log_parameter,
    "runs/log-batch": runs.log_batch,
    "runs/log-inputs": runs.log_inputs,
    "runs/log-model": runs.log_model,
    "runs/outputs": runs.log_outputs,
    "runs/set-tag": runs.set_tag,
    "runs/delete-tag": runs.delete_tag,
    "metrics/get-history": metrics.get_history,
    "metrics/get-history-bulk": metrics.get_history_bulk,
    "metrics/get-history-bulk-interval": metrics.get_history_bulk_interval,
    "artifacts/list": artifacts.list_of_run,
    "logged-models": logged_models.create,
    "logged-models/search": logged_models.search,
    "logged-models/<str:model_id>": logged_models.one,
    "logged-models/<str:model_id>/artifacts/directories": artifacts.list_of_model,
    "logged-models/<str:model_id>/artifacts/files": artifacts.file_of_model,
    "logged-models/<str:model_id>/tags": logged_models.set_tags,
    "logged-models/<str:model_id>/params": logged_models.log_params,
    "logged-models/<str:model_id>/tags/<path:key>": logged_models.delete_tag,
}
WEBHOOKS = {
    "webhooks": webhooks.many,
    "webhooks/<str:webhook_id>": webhooks.one,
    "webhooks/<str:webhook_id>/test": webhooks.test,
}
GRANTS = {
    "<str:object_id>": permissions.one,
    "<str:object_id>/permissionLevels": permissions.levels,
}
ARTIFACTS = {
    "artifacts": artifacts.list_root,
    "artifacts/<path:path>": artifacts.one,
    "mpu/create/<path:path>": artifacts.begin_upload,
    "mpu/complete/<path:path>": artifacts.finish_upload,
    "mpu/abort/<path:path>": artifacts.abort_upload,
    "presigned/<path:path>": artifacts.direct_download,
}


Calls = dict[str, Callable[..., HttpResponseBase]]


def _below(prefix: str, *calls: Calls) -> URLResolver:
    """Nobody tries two hundred patterns, one by one, on the address of a page."""
    return path(prefix, include([path(route, view) for some in calls for route, view in some.items()]))


def _under(prefix: str) -> list[URLPattern | URLResolver]:
    return [
        _below(f"{prefix}/2.0/mlflow/", REGISTRY, DATABRICKS, TRACKING, WEBHOOKS),
        _below(f"{prefix}/2.0/mlflow-artifacts/", ARTIFACTS),
        _below(f"{prefix}/2.0/permissions/registered-models/", GRANTS),
        path(f"{prefix}/3.0/mlflow/server-info", server.info, name="server_info"),
    ]


urlpatterns = [
    *_under("api"),
    *_under("ajax-api"),
    _below("api/2.0/preview/mlflow/", REGISTRY, DATABRICKS),
    path("api/2.0/preview/scim/v2/Me", databricks.me),
    path("get-artifact", artifacts.file_of_run),
    path("model-versions/get-artifact", artifacts.file_of_version),
    path(".well-known/databricks-config", server.databricks_handshake, name="databricks_handshake"),
]
