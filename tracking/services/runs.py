"""Runs: create, finish, log. Every write locks the run's row; the JSON beside it and the history move together."""

from __future__ import annotations

import json
import math
import sys
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.models import User
from core import jobs
from core.answers import require
from core.clock import now_ms
from core.errors import Invalid, NotFound
from core.keys import check_key
from tracking.models import Lifecycle, LoggedModel, MetricPoint, Run, RunDataset
from tracking.names import random_name
from tracking.permissions import can_write
from tracking.services.experiments import active_experiment

RUN_NAME_TAG = "mlflow.runName"
MAX_TAG_VALUE = 8000  # cut silently, as MLflow does
MAX_PARAM_VALUE = 6000
MAX_ENTRIES = {"metrics": 1000, "params": 100, "tags": 100}


@dataclass(frozen=True, slots=True)
class Metric:
    """One logged value; ``timestamp`` in milliseconds."""

    key: str
    value: float
    timestamp: int
    step: int = 0
    model_id: str = ""
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True, slots=True)
class DatasetInput:
    name: str
    digest: str
    source_type: str
    source: str
    schema: str
    profile: str
    tags: dict[str, str]


def get_run(run_id: str) -> Run:
    """Raises NotFound with MLflow's text. Deleted runs are found too."""
    run = Run.objects.select_related("user").filter(run_id=run_id).first() if len(run_id) <= 32 else None
    if run is None:
        raise NotFound(f"Run with id={run_id[:60]} not found")
    return run


def _locked(run_id: str, actor: User) -> Run:
    """The active run, locked, after asking whether the actor may write to it."""
    run = Run.objects.select_for_update(of=("self",)).select_related("user").filter(run_id=run_id[:33]).first()
    if run is None:
        raise NotFound(f"Run with id={run_id[:60]} not found")
    require(can_write(actor, run))
    if run.lifecycle_stage != Lifecycle.ACTIVE:
        raise Invalid(f"The run {run_id} must be in the 'active' state. Current state is {run.lifecycle_stage}.")
    return run


def _save(run: Run, *fields: str) -> None:
    """Save, and once versions hang on the run, announce the change."""
    run.save(update_fields=list(fields))
    if run.has_versions:
        jobs.after_commit(settings.RUN_CHANGED_TASK, run.run_id)


@transaction.atomic
def create_run(
    *,
    actor: User,
    experiment_id: str,
    run_name: str = "",
    user_id: str = "",
    start_time: int | None = None,
    tags: dict[str, str] | None = None,
) -> Run:
    tags = _checked_tags(tags or {})
    tagged = tags.get(RUN_NAME_TAG, "")
    if run_name and tagged and run_name != tagged:
        raise Invalid(f"Both 'run_name' argument and '{RUN_NAME_TAG}' tag are specified, but with different values.")
    name = (run_name or tagged or random_name())[:250]
    return Run.objects.create(
        run_id=uuid.uuid4().hex,
        experiment=active_experiment(experiment_id),
        run_name=name,
        user=actor,
        user_id_sent=user_id[:256],
        start_time=now_ms() if start_time is None else start_time,
        tags={**tags, RUN_NAME_TAG: name},
    )


@transaction.atomic
def update_run(*, actor: User, run_id: str, status: str = "", end_time: int | None = None, run_name: str = "") -> Run:
    run = _locked(run_id, actor)
    if status:
        run.status = status
    if end_time is not None:
        run.end_time = end_time
    if run_name:
        run.run_name = run_name[:250]
        run.tags[RUN_NAME_TAG] = run.run_name
    _save(run, "status", "end_time", "run_name", "tags")
    return run


@transaction.atomic
def set_run_lifecycle(*, actor: User, run_id: str, stage: Lifecycle) -> None:
    """Delete or restore; both may be repeated."""
    run = get_run(run_id)
    require(can_write(actor, run))
    Run.objects.filter(pk=run.pk).update(lifecycle_stage=stage)


# -- Logging -----------------------------------------------------------------------------------------------------------


@transaction.atomic
def log_batch(
    *,
    actor: User,
    run_id: str,
    metrics: Sequence[Metric] = (),
    params: Sequence[tuple[str, str]] = (),
    tags: dict[str, str] | None = None,
) -> None:
    """All of it or nothing. A parameter keeps its first value; an equal point of a metric is logged once."""
    tags = _checked_tags(tags or {})
    _check_sizes(metrics, params, tags)
    metrics = [_checked_metric(metric) for metric in metrics]
    # Before the run: registering a version locks a logged model, then its run.
    models = _locked_models(actor, {metric.model_id for metric in metrics if metric.model_id})
    run = _locked(run_id, actor)
    _merge_params(run, params)
    _merge_tags(run, tags)
    _merge_metrics(run, metrics)
    _add_to_logged_models(models, run, metrics)
    _save(run, "params", "tags", "run_name", "metrics")


def _check_sizes(metrics: Sequence[Metric], params: Sequence[tuple[str, str]], tags: dict[str, str]) -> None:
    sizes = {"metrics": len(metrics), "params": len(params), "tags": len(tags)}
    for what, size in sizes.items():
        if size > MAX_ENTRIES[what]:
            raise Invalid(
                f"A batch logging request can contain at most {MAX_ENTRIES[what]} {what}. Got {size} {what}. "
                f"Please split up {what} across multiple requests and try again."
            )
    if sum(sizes.values()) > 1000:
        raise Invalid(
            f"A batch logging request can contain at most 1000 metrics, params and tags. Got {sum(sizes.values())}."
        )
    keys = [key for key, _ in params]
    if len(keys) != len(set(keys)):
        raise Invalid("Duplicate parameter keys have been submitted in one batch.")


def _checked_tags(tags: dict[str, str]) -> dict[str, str]:
    return {check_key(key, "tag"): value[:MAX_TAG_VALUE] for key, value in tags.items()}


def _checked_metric(metric: Metric) -> Metric:
    check_key(metric.key, "metric")
    if metric.timestamp < 0:
        raise Invalid(
            f"Got invalid timestamp {metric.timestamp} for metric '{metric.key}'. "
            "Timestamp must be a nonnegative long integer."
        )
    return metric


def _merge_params(run: Run, params: Iterable[tuple[str, str]]) -> None:
    for key, raw in params:
        value = raw[:MAX_PARAM_VALUE]
        check_key(key, "parameter")
        if run.params.setdefault(key, value) != value:
            raise Invalid(
                f"Changing param values is not allowed. Param with key='{key}' was already logged with "
                f"value='{run.params[key][:200]}' for run ID='{run.run_id}'. "
                f"Attempted logging new value '{value[:200]}'."
            )


def _merge_tags(run: Run, tags: dict[str, str]) -> None:
    """An empty name leaves the name that there is."""
    name = tags.get(RUN_NAME_TAG, "")[:250] or run.run_name
    run.tags.update(tags)
    if RUN_NAME_TAG in tags:
        run.run_name = run.tags[RUN_NAME_TAG] = name


def stored_value(value: float) -> float:
    """What MLflow stores for an infinity: the largest double."""
    if math.isinf(value):
        return math.copysign(sys.float_info.max, value)
    return value


def _entry(metric: Metric) -> dict[str, Any]:
    """A value as it stands in JSON."""
    value = "NaN" if math.isnan(metric.value) else stored_value(metric.value)
    entry: dict[str, Any] = {"value": value, "timestamp": metric.timestamp, "step": metric.step}
    return entry | {k: v for k in ("model_id", "dataset_name", "dataset_digest") if (v := getattr(metric, k))}


def _merge_metrics(run: Run, metrics: Iterable[Metric]) -> None:
    points = []
    for metric in metrics:
        entry, is_nan = _entry(metric), math.isnan(metric.value)
        points.append(
            MetricPoint(
                run=run,
                key=metric.key,
                value=0.0 if is_nan else entry["value"],
                is_nan=is_nan,
                timestamp=metric.timestamp,
                step=metric.step,
            )
        )
        last = run.metrics.get(metric.key)
        if last is None or _rank(entry) >= _rank(last):
            run.metrics[metric.key] = entry
    MetricPoint.objects.bulk_create(points, ignore_conflicts=True)


def _rank(entry: dict[str, Any]) -> tuple[int, int, float]:
    """Which value of a key is the last one: the largest (step, timestamp, value)."""
    value = entry["value"]
    return entry["step"], entry["timestamp"], -math.inf if value == "NaN" else value


def _locked_models(actor: User, model_ids: set[str]) -> list[LoggedModel]:
    """Those of the logged models that the actor may write to; on others a metric stays with the run alone."""
    if not model_ids:
        return []
    rows = LoggedModel.objects.select_for_update(of=("self",)).select_related("user")
    return [model for model in rows.filter(model_id__in=model_ids).order_by("model_id") if can_write(actor, model)]


def _add_to_logged_models(models: Iterable[LoggedModel], run: Run, metrics: Sequence[Metric]) -> None:
    """A metric with a model_id is shown under that logged model too: the latest per key, run and dataset."""
    for model in models:
        kept = {_place(entry): entry for entry in model.metrics}
        for metric in metrics:
            if metric.model_id == model.model_id:
                entry = {"key": metric.key, "run_id": run.run_id, **_entry(metric)}
                last = kept.get(_place(entry))
                if last is None or _rank(entry) >= _rank(last):
                    kept[_place(entry)] = entry
        model.metrics = list(kept.values())
        model.save(update_fields=["metrics"])


def _place(entry: dict[str, Any]) -> tuple[str, str, str, str]:
    return entry["key"], entry["run_id"], entry.get("dataset_name", ""), entry.get("dataset_digest", "")


def set_run_tag(*, actor: User, run_id: str, key: str, value: str) -> None:
    log_batch(actor=actor, run_id=run_id, tags={key: value})


@transaction.atomic
def delete_run_tag(*, actor: User, run_id: str, key: str) -> None:
    run = _locked(run_id, actor)
    if key not in run.tags:
        raise NotFound(f"No tag with name: {key[:250]} in run with id {run_id}")
    del run.tags[key]
    _save(run, "tags")


@transaction.atomic
def log_inputs(*, actor: User, run_id: str, datasets: Sequence[DatasetInput] = (), models: Sequence[str] = ()) -> None:
    run = _locked(run_id, actor)
    RunDataset.objects.bulk_create([RunDataset(run=run, **asdict(d)) for d in datasets], ignore_conflicts=True)
    if models:
        run.inputs["models"] = list(dict.fromkeys([*run.inputs.get("models", []), *models]))
    _save(run, "inputs")


@transaction.atomic
def log_outputs(*, actor: User, run_id: str, models: Sequence[tuple[str, int]]) -> None:
    """The logged models that the run made, each with the step it was made at."""
    run = _locked(run_id, actor)
    for model_id, step in models:
        entry = {"model_id": model_id, "step": step}
        if entry not in run.outputs:
            run.outputs.append(entry)
    _save(run, "outputs")


LOGGED_MODELS_TAG = "mlflow.log-model.history"
MAX_HISTORY = 1_000_000
_MODEL_KEYS = ("artifact_path", "flavors", "utc_time_created", "run_id")


@transaction.atomic
def log_model_json(*, actor: User, run_id: str, model_json: str) -> None:
    """What clients before 3.0 send at the end of log_model: appended to the run's history of models."""
    try:
        model = json.loads(model_json)
    except (ValueError, RecursionError) as error:
        raise Invalid("Malformed model info: model_json is not JSON.", field="model_json") from error
    absent = [key for key in _MODEL_KEYS if key not in model] if isinstance(model, dict) else list(_MODEL_KEYS)
    if absent:
        raise Invalid(f"Model json is missing mandatory fields: {', '.join(absent)}", field="model_json")
    run = _locked(run_id, actor)
    history = json.dumps([*_history(run), model])
    if len(history) > MAX_HISTORY:
        raise Invalid(f"The run's history of models would pass {MAX_HISTORY} characters.", field="model_json")
    run.tags[LOGGED_MODELS_TAG] = history
    _save(run, "tags")


def _history(run: Run) -> list[Any]:
    """The models noted on the run so far; a tag that a client wrote something else into counts as none."""
    try:
        history = json.loads(run.tags.get(LOGGED_MODELS_TAG) or "[]")
    except (ValueError, RecursionError):
        return []
    return history if isinstance(history, list) else []
