"""/api/2.0/mlflow/metrics/…: the history of metrics, for clients and for charts."""

from __future__ import annotations

from typing import Any

from core.errors import Invalid
from tracking.history import history, history_of_runs, sampled_history
from web.mlflow import messages
from web.mlflow.endpoint import endpoint
from web.mlflow.params import Params, missing
from web.signed_in import SignedInRequest

MAX_HISTORY = 25_000  # points in one answer
MAX_RUNS = 100  # in one call for charts
MAX_SAMPLE = 2500  # points of each run


@endpoint("GET", only_reads=True)
def get_history(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run_id = params.string("run_id") or params.string("run_uuid", required=True)
    key = params.string("metric_key", required=True)
    limit = params.integer("max_results", default=MAX_HISTORY) or 0
    if limit < 1:
        raise Invalid(
            f"Invalid value {limit} for parameter 'max_results' supplied: it must be at least 1.", field="max_results"
        )
    page = history(run_id, key, limit=min(limit, MAX_HISTORY), page_token=params.string("page_token"))
    answer: dict[str, Any] = {}
    if page.points:
        answer["metrics"] = [messages.metric_point(point) for point in page.points]
    if page.next_page_token:
        answer["next_page_token"] = page.next_page_token
    return answer


@endpoint("GET", only_reads=True)
def get_history_bulk(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run_ids = params.strings("run_id")
    if not run_ids:
        raise Invalid("GetMetricHistoryBulk request must specify at least one run_id.", field="run_id")
    if len(run_ids) > MAX_RUNS:
        raise Invalid(
            f"GetMetricHistoryBulk request cannot specify more than {MAX_RUNS} run_ids. "
            f"Received {len(run_ids)} run_ids.",
            field="run_id",
        )
    key = params.string("metric_key")
    if not key:
        raise Invalid("GetMetricHistoryBulk request must specify a metric_key.", field="metric_key")
    limit = params.integer("max_results", default=MAX_HISTORY, low=0) or 0
    points = history_of_runs(run_ids, key, limit=min(limit, MAX_HISTORY))
    return {"metrics": [messages.metric_point_of_run(point) for point in points]}


@endpoint("GET", only_reads=True)
def get_history_bulk_interval(request: SignedInRequest, params: Params) -> dict[str, Any]:
    run_ids = params.strings("run_ids")
    if not run_ids:
        raise missing("run_ids")
    if len(run_ids) > MAX_RUNS:
        raise Invalid(
            f"GetMetricHistoryBulkInterval request must specify at most {MAX_RUNS} run_ids. "
            f"Received {len(run_ids)} run_ids.",
            field="run_ids",
        )
    key = params.string("metric_key", required=True)
    limit = params.integer("max_results", default=MAX_SAMPLE) or 0
    if not 1 <= limit <= MAX_SAMPLE:
        raise Invalid(f"max_results must be between 1 and {MAX_SAMPLE}.", field="max_results")
    points = sampled_history(run_ids, key, limit=limit, steps=_steps(params))
    return {"metrics": [messages.metric_point_of_run(point) for point in points]} if points else {}


def _steps(params: Params) -> tuple[int, int] | None:
    start, end = params.integer("start_step"), params.integer("end_step")
    if start is None and end is None:
        return None
    if start is None or end is None:
        raise Invalid("If either start step or end step are specified, both must be specified.", field="start_step")
    if start > end:
        raise Invalid(
            f"end_step must be greater than start_step. Found start_step={start} and end_step={end}.", field="end_step"
        )
    return start, end
