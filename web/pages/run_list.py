"""A list of runs with its filters, for /runs/ and for the page of an experiment: see templates/runs/list.html."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet

from core.errors import Invalid
from core.keyset import key_in
from core.prepared import Compiled, planned_anew
from registry.models import ModelVersion
from registry.queries import versions_of_runs
from tracking.models import Experiment, Lifecycle, Run
from tracking.queries import DELETED, runs_like
from tracking.search import Page, newest_first
from web.signed_in import SignedInRequest

PAGE_SIZE = 25
SHOWN_METRICS = 3
MAX_COLUMNS = 6
MAX_OFFERED = 100  # metrics to choose columns from
MAX_EXPERIMENTS = 100  # to choose from; a link in the address may name any
SHOWN_VERSIONS = 2
TEXTS = ("q", "experiment", "status", "user", "filter")
STATUSES = [*((status.value, status.value.capitalize()) for status in Run.Status), (DELETED, "Deleted")]
_AGAIN = Compiled(most=50)


@dataclass(frozen=True, slots=True)
class Row:
    run: Run
    values: list[float | str | None]  # one for each column
    versions: list[ModelVersion]
    more_versions: int


def run_list(request: SignedInRequest, *, experiment: Experiment | None = None) -> dict[str, Any]:
    """What the filters in the address find, of one experiment or of those that they name; with the error that a filter
    makes, if it makes one."""
    given = {name: text for name in TEXTS if (text := request.GET.get(name, "").strip())}
    columns = _columns(request)
    page: Page[Run] = Page([], "")
    error = ""
    try:
        page = _page(request, given, experiment)
    except Invalid as refused:
        error = refused.message
    names = Counter(name for run in page.rows for name in run.metrics)
    shown = columns or sorted(sorted(names, key=lambda name: (-names[name], name))[:SHOWN_METRICS])
    offered = dict.fromkeys([*shown, *(name for name, _ in names.most_common(MAX_OFFERED))])
    asked = [*given.items(), *(("metric", name) for name in columns)]
    return {
        "given": given,
        "query": urlencode(asked),
        "columns": shown,
        "chosen": columns,
        "offered": sorted(offered),
        "rows": _rows(request, page.rows, shown),
        "next_token": page.next_page_token,
        "is_first_page": not request.GET.get("page"),
        "statuses": STATUSES,
        "error": error,
        "path": request.path,
        "max_columns": MAX_COLUMNS,
    }


def experiments_to_choose(request: SignedInRequest, chosen: str) -> list[Experiment]:
    """The newest, and the chosen one."""
    rows = Experiment.objects.visible_to(request.user).only("id", "name")
    active = rows.filter(lifecycle_stage=Lifecycle.ACTIVE).order_by("-creation_time", "id")
    found = _AGAIN.rows(("to choose", request.user.is_active), lambda: active[:MAX_EXPERIMENTS])
    if (key := key_in(chosen)) is not None and key not in {row.pk for row in found}:
        found += rows.filter(pk=key)
    return found


def _columns(request: SignedInRequest) -> list[str]:
    return list(dict.fromkeys(name[:250] for name in request.GET.getlist("metric") if name))[:MAX_COLUMNS]


def _page(request: SignedInRequest, given: dict[str, str], experiment: Experiment | None) -> Page[Run]:
    key = experiment.pk if experiment else None
    if experiment is None and "experiment" in given and (key := key_in(given["experiment"])) is None:
        raise Invalid("The experiment is a number, its id.", field="experiment")
    rows = runs_like(
        request.user,
        experiment=key,
        status=given.get("status", ""),
        username=given.get("user", ""),
        text=given.get("q", ""),
        filter_text=given.get("filter", ""),
    )
    token = request.GET.get("page", "")

    def read(page: QuerySet[Run]) -> list[Run]:
        if given or token:
            return planned_anew(page)
        return _AGAIN.rows(("begins", request.user.is_active, key), lambda: page)  # as it does for everybody

    return newest_first(rows, limit=PAGE_SIZE, page_token=token, read=read)


def _rows(request: SignedInRequest, runs: list[Run], columns: list[str]) -> list[Row]:
    versions = versions_of_runs(request.user, [run.run_id for run in runs]) if runs else {}
    return [
        Row(
            run,
            [run.metrics[name]["value"] if name in run.metrics else None for name in columns],
            versions.get(run.run_id, [])[:SHOWN_VERSIONS],
            max(0, len(versions.get(run.run_id, [])) - SHOWN_VERSIONS),
        )
        for run in runs
    ]
