"""/experiments/ and /experiments/ID/: the folders of runs."""

from __future__ import annotations

from urllib.parse import urlencode

from django.http import HttpResponse
from django.views.decorators.http import require_safe

from core.counting import up_to
from core.errors import Invalid
from tracking.models import Experiment, Lifecycle
from tracking.queries import DESCRIPTION_TAG, MOST_RUNS, get_experiment, listed
from tracking.search import Page, experiments_newest_first
from web.pages.parts import part_or_page
from web.pages.run_list import run_list
from web.pages.runs import list_response
from web.signed_in import SignedInRequest

PAGE_SIZE = 25


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    rows = Experiment.objects.visible_to(request.user).filter(lifecycle_stage=Lifecycle.ACTIVE).select_related("user")
    if text:
        rows = rows.filter(name__icontains=text)
    page: Page[Experiment] = Page([], "")
    error = ""
    try:
        page = experiments_newest_first(rows, limit=PAGE_SIZE, page_token=request.GET.get("page", ""))
    except Invalid as refused:
        error = refused.message
    context = {
        "query": text,
        "experiments": [
            (row, up_to(MOST_RUNS, row.run_count), row.experiment.tags.get(DESCRIPTION_TAG, ""))
            for row in listed(page.rows)
        ],
        "next_token": page.next_page_token,
        "error": error,
    }
    url = f"{request.path}?{urlencode({'q': text})}" if text else request.path
    return part_or_page(request, "experiments/index.html", context, part="experiments/index.html#results", url=url)


@require_safe
def detail(request: SignedInRequest, pk: int) -> HttpResponse:
    """The list of its runs."""
    experiment = get_experiment(request.user, pk)
    own = {key: value for key, value in experiment.tags.items() if key != DESCRIPTION_TAG}
    context = {
        **run_list(request, experiment=experiment),
        "experiment": experiment,
        "description": experiment.tags.get(DESCRIPTION_TAG, ""),
        "tags": sorted(own.items()),
        "is_deleted": experiment.lifecycle_stage == Lifecycle.DELETED,
    }
    return list_response(request, "experiments/detail.html", context)
