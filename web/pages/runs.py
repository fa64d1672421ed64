"""/runs/ and /runs/ID/: which runs there are, and what one of them logged."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from core.errors import Invalid
from registry.artifacts import Place, clean_path, get_file
from registry.evidence import COMMIT_TAG, is_dirty
from registry.models import ArtifactFile
from registry.queries import versions_of_runs
from tracking.curves import curves
from tracking.history import history as history_of
from tracking.models import LoggedModel, Run
from tracking.queries import DESCRIPTION_TAG, get_run, relatives
from web.files import serve
from web.pages.parts import part_or_page
from web.pages.run_list import experiments_to_choose, run_list
from web.pages.run_metrics import MAX_CHARTS, charts_of, charts_wanted, metrics_of
from web.signed_in import SignedInRequest

SHOWN = 100  # of parameters, tags, files: the rest on demand
SHOWN_TEXT = 200  # characters of a parameter
MOST_FILES = 5000
SHOWN_CHILDREN = 50
SHOWN_MODELS = 50
POINTS_ON_PAGE = 100


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    context = run_list(request)
    context["experiments"] = experiments_to_choose(request, context["given"].get("experiment", ""))
    return list_response(request, "runs/index.html", context)


def list_response(request: SignedInRequest, template: str, context: dict[str, Any]) -> HttpResponse:
    """The page, or for HTMX its list, with the filters in the address."""
    url = f"{request.path}?{context['query']}" if context["query"] else request.path
    return part_or_page(request, template, context, part="runs/list.html#results", url=url)


@require_safe
def detail(request: SignedInRequest, run_id: str) -> HttpResponse:
    """For HTMX the figures alone: of a run that goes on, or those that a search finds."""
    run = get_run(request.user, run_id)
    context = {"run": run, **metrics_of(request, run)} if request.htmx else _context(request, run)
    return part_or_page(request, "runs/detail.html", context, part="runs/detail.html#figures")


def _context(request: SignedInRequest, run: Run) -> dict[str, Any]:
    chosen = charts_wanted(request, [run])
    own, internal = _tags(run)
    whole = request.GET.get("all", "")
    most = MOST_FILES if whole == "files" else SHOWN
    files = list(ArtifactFile.objects.filter(owner_id=run.run_id).order_by("path")[: most + 1])
    return {
        "run": run,
        "description": run.tags.get(DESCRIPTION_TAG, ""),
        **metrics_of(request, run),
        "charts": charts_of(chosen, [run]),
        "chosen": chosen,
        "params": _first_of(run.params, whole=whole == "params"),
        "param_count": len(run.params),
        "cuts_params": len(run.params) > SHOWN or any(len(value) > SHOWN_TEXT for value in run.params.values()),
        "tags": _first_of(own, whole=whole == "tags"),
        "tag_count": len(own),
        "internal_tags": _first_of(internal, whole=whole == "tags"),
        "internal_count": len(internal),
        "source": run.tags.get("mlflow.source.name", ""),
        "commit": run.tags.get(COMMIT_TAG, ""),
        "is_dirty": is_dirty(run.tags),
        "relatives": relatives(request.user, run, limit=SHOWN_CHILDREN),
        "datasets": run.datasets.defer("schema", "profile").order_by("name", "digest")[:SHOWN],
        "files": files[:most],
        "more_files": len(files) > most,
        "logged_models": LoggedModel.objects.filter(source_run_id=run.run_id, deleted_at=None)
        .exclude(source_run_id="")
        .only("model_id", "name", "status", "creation_timestamp")
        .order_by("-creation_timestamp", "model_id")[:SHOWN_MODELS],
        "versions": versions_of_runs(request.user, [run.run_id]).get(run.run_id, []),
        "whole": whole,
    }


def _first_of(texts: dict[str, str], *, whole: bool) -> list[tuple[str, str]]:
    found = sorted(texts.items())
    return found if whole else found[:SHOWN]


def _tags(run: Run) -> tuple[dict[str, str], dict[str, str]]:
    """Those of people, and those that the client sets for its own use."""
    own = {key: value for key, value in run.tags.items() if not key.startswith("mlflow.")}
    return own, {key: value for key, value in run.tags.items() if key not in own and key != DESCRIPTION_TAG}


@require_safe
def download(request: SignedInRequest, run_id: str, path: str) -> HttpResponseBase:
    """One file of the run, as an attachment."""
    run = get_run(request.user, run_id)
    return serve(request, get_file(Place(run.run_id, clean_path(path))))


@require_safe
def history(request: SignedInRequest, run_id: str) -> HttpResponse:
    """Every point of one metric as a table, page by page; ``format=json``: the curves of a few, for charts."""
    run = get_run(request.user, run_id)
    names = list(dict.fromkeys(request.GET.getlist("metric")))
    if not names or len(names) > MAX_CHARTS:
        raise Invalid(f"Name one to {MAX_CHARTS} metrics: ?metric=loss", field="metric")
    if request.GET.get("format") == "json":
        return JsonResponse({"run_id": run.run_id, "series": _series(run, names)})
    page = history_of(run.run_id, names[0], limit=POINTS_ON_PAGE, page_token=request.GET.get("page", ""))
    context = {"run": run, "name": names[0], "points": page.points, "next_token": page.next_page_token}
    return render(request, "runs/history.html", context)


def _series(run: Run, names: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "metric": name,
            "steps": [point.step for point in curve],
            "times": [point.timestamp for point in curve],
            "values": [point.value for point in curve],
        }
        for name, curve in curves(run, names).items()
    ]
