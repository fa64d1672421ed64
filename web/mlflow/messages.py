"""What goes back over the MLflow protocol: plain functions from rows to the wire's objects.

Empty lists and unset fields are left out; numbers are JSON numbers, version numbers are strings.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import orjson

from core.clock import to_ms
from notifications.delivery import Outcome
from notifications.models import Channel
from notifications.queries import address_of
from registry.models import ModelVersion, RegisteredModel
from registry.search import FoundModel, FoundVersion
from tracking.models import Experiment, LoggedModel, MetricPoint, Run, RunDataset
from tracking.search import DatasetSummary

Message = dict[str, Any]
AT_ONCE = 500  # messages held as objects


def tags(pairs: dict[str, str]) -> list[Message]:
    return [{"key": key, "value": value} for key, value in pairs.items()]


def json_list(messages: Iterable[Message]) -> orjson.Fragment:
    """The JSON of a list, piece by piece: a page of 10,000 versions would be 30 MB of objects at once."""
    pieces, waiting = [], iter(messages)
    while piece := list(islice(waiting, AT_ONCE)):
        pieces.append(orjson.dumps(piece)[1:-1])
    return orjson.Fragment(b"[" + b",".join(pieces) + b"]")


# -- Registry ----------------------------------------------------------------------------------------------------------


def registered_model(model: RegisteredModel, latest: Iterable[ModelVersion]) -> Message:
    """The entries of ``latest_versions`` carry tags but never aliases."""
    return _model(model, [model_version(version, model, with_aliases=False) for version in latest])


def found_model(model: FoundModel, latest: Iterable[FoundVersion], *, owner: str = "") -> Message:
    """Only Databricks' clients ask whose a model is."""
    message = _model(model, [found_version(version) for version in latest])
    return {**message, "user_id": owner} if owner else message


def _model(model: RegisteredModel | FoundModel, latest: list[Message]) -> Message:
    message: Message = {
        "name": model.name,
        "creation_timestamp": model.creation_timestamp,
        "last_updated_timestamp": model.last_updated_timestamp,
    }
    if model.description:
        message["description"] = model.description
    if latest:
        message["latest_versions"] = latest
    if has := model.tags:
        message["tags"] = tags(has)
    if aliases := model.aliases:
        message["aliases"] = [{"alias": alias, "version": str(number)} for alias, number in aliases.items()]
    return message


def model_version(version: ModelVersion, model: RegisteredModel, *, with_aliases: bool = True) -> Message:
    message = _version(version, model.name, version.user.username if version.user else "")
    if with_aliases and (aliases := [a for a, number in model.aliases.items() if number == version.version]):
        message["aliases"] = aliases
    return message


def found_version(row: FoundVersion) -> Message:
    """A row of a search of versions: it carries no aliases."""
    return _version(row, row.name, row.username)


def _version(row: ModelVersion | FoundVersion, name: str, username: str | None) -> Message:
    message: Message = {
        "name": name,
        "version": str(row.version),
        "creation_timestamp": row.creation_timestamp,
        "last_updated_timestamp": row.last_updated_timestamp,
        "current_stage": row.current_stage,
        "description": row.description,
        "source": row.source,
        "run_id": row.run_id,
        "status": row.status,
        "run_link": row.run_link,
    }
    if username:
        message["user_id"] = username
    if row.status_message:
        message["status_message"] = row.status_message
    if row.logged_model_id:
        message["model_id"] = row.logged_model_id
    if has := row.tags:
        message["tags"] = tags(has)
    return message


# -- Webhooks ----------------------------------------------------------------------------------------------------------


def webhook(channel: Channel) -> Message:
    """The address is shown, the secret never."""
    message: Message = {
        "webhook_id": str(channel.key),
        "name": channel.name,
        "url": address_of(channel),
        "events": [_webhook_event(name) for name in channel.kinds],
        "status": "ACTIVE" if channel.is_active else "DISABLED",
        "creation_timestamp": to_ms(channel.created_at),
        "last_updated_timestamp": to_ms(channel.updated_at),
    }
    if channel.description:
        message["description"] = channel.description
    return message


def _webhook_event(name: str) -> Message:
    entity, _, action = name.upper().partition(".")
    return {"entity": entity, "action": action}


def webhook_test(outcome: Outcome) -> Message:
    """A redirect is a success here, though it is not followed: MLflow counts everything below 400 as one."""
    if outcome.status_code is None:
        return {"success": False, "error_message": f"Failed to test webhook: {outcome.answer}"}
    is_fine = outcome.status_code < 400
    return {"success": is_fine, "response_status": outcome.status_code, "response_body": outcome.answer}


# -- Tracking ----------------------------------------------------------------------------------------------------------


def experiment(row: Experiment) -> Message:
    message: Message = {
        "experiment_id": str(row.pk),
        "name": row.name,
        "artifact_location": row.artifact_location,
        "lifecycle_stage": row.lifecycle_stage,
        "creation_time": row.creation_time,
        "last_update_time": row.last_update_time,
    }
    if row.tags:
        message["tags"] = tags(row.tags)
    return message


def artifact_uri(run: Run) -> str:
    return f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts"


def artifact_uri_of_model(model: LoggedModel) -> str:
    return f"mlflow-artifacts:/{model.experiment_id}/models/{model.model_id}/artifacts"


def run_info(run: Run) -> Message:
    info: Message = {
        "run_id": run.run_id,
        "run_uuid": run.run_id,
        "run_name": run.run_name,
        "experiment_id": str(run.experiment_id),
        "user_id": run.user_id_sent,
        "status": run.status,
        "start_time": run.start_time,
        "artifact_uri": artifact_uri(run),
        "lifecycle_stage": run.lifecycle_stage,
    }
    if run.end_time is not None:
        info["end_time"] = run.end_time
    return info


def run_message(run: Run, datasets: Iterable[RunDataset] = ()) -> Message:
    data: Message = {}
    if run.metrics:
        data["metrics"] = [{"key": key, **_measured(entry), "run_id": run.run_id} for key, entry in run.metrics.items()]
    if run.params:
        data["params"] = tags(run.params)
    if run.tags:
        data["tags"] = tags(run.tags)
    inputs: Message = {}
    if dataset_inputs := [dataset_input(dataset) for dataset in datasets]:
        inputs["dataset_inputs"] = dataset_inputs
    if models := run.inputs.get("models"):
        inputs["model_inputs"] = [{"model_id": model_id} for model_id in models]
    outputs = {"model_outputs": run.outputs} if run.outputs else {}
    return {"info": run_info(run), "data": data, "inputs": inputs, "outputs": outputs}


def _measured(entry: Message) -> Message:
    """PostgreSQL's JSON gives a large double back as an integer of hundreds of digits."""
    value = entry["value"]
    return entry if isinstance(value, str) else {**entry, "value": float(value)}


def dataset_input(dataset: RunDataset) -> Message:
    fields = {
        "name": dataset.name,
        "digest": dataset.digest,
        "source_type": dataset.source_type,
        "source": dataset.source,
    }
    if dataset.schema:
        fields["schema"] = dataset.schema
    if "profile" not in dataset.get_deferred_fields() and dataset.profile:
        fields["profile"] = dataset.profile
    return {"tags": tags(dataset.tags), "dataset": fields} if dataset.tags else {"dataset": fields}


def dataset_summary(summary: DatasetSummary) -> Message:
    message = {
        "experiment_id": str(summary.experiment_id),
        "name": summary.name,
        "digest": summary.digest,
    }
    return message if summary.context is None else {**message, "context": summary.context}


def metric_point(point: MetricPoint) -> Message:
    return {
        "key": point.key,
        "value": "NaN" if point.is_nan else point.value,
        "timestamp": point.timestamp,
        "step": point.step,
    }


def metric_point_of_run(point: MetricPoint) -> Message:
    return {**metric_point(point), "run_id": point.run_id}


def logged_model(model: LoggedModel) -> Message:
    info: Message = {
        "model_id": model.model_id,
        "experiment_id": str(model.experiment_id),
        "name": model.name,
        "creation_timestamp_ms": model.creation_timestamp,
        "last_updated_timestamp_ms": model.last_updated_timestamp,
        "artifact_uri": artifact_uri_of_model(model),
        "status": model.status,
        "model_type": model.model_type,
        "source_run_id": model.source_run_id,
    }
    if model.status_message:
        info["status_message"] = model.status_message
    if model.tags:
        info["tags"] = tags(dict(sorted(model.tags.items())))
    data: Message = {}
    if model.params:
        data["params"] = tags(model.params)
    if model.metrics:
        data["metrics"] = [{"model_id": model.model_id, **_measured(entry)} for entry in model.metrics]
    return {"info": info, "data": data}
