"""/runs/ and /runs/ID/: which runs there are, and what one of them logged."""

from __future__ import annotations

from django.http import HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tracking.queries import get_run, get_runs, runs_like
from tracking.search import newest_first
from web.signed_in import SignedInRequest

PAGE_SIZE = 25


@require_safe
def index(request: SignedInRequest) -> HttpResponse:
    rows = runs_like(request.user).select_related("experiment", "user").defer("params", "tags")
    page = newest_first(rows, limit=PAGE_SIZE, page_token=request.GET.get("page", ""))
    return render(request, "runs/index.html", {"runs": page.rows, "next_token": page.next_page_token})


@require_safe
def detail(request: SignedInRequest, run_id: str) -> HttpResponse:
    return render(request, "runs/detail.html", {"run": get_run(request.user, run_id)})


@require_safe
def history(request: SignedInRequest, run_id: str) -> HttpResponse:
    run = get_run(request.user, run_id)
    return JsonResponse({"run": run.run_id, "series": []})


@require_safe
def compare(request: SignedInRequest) -> HttpResponse:
    runs = get_runs(request.user, request.GET.getlist("run")[:8])
    return render(request, "runs/compare.html", {"runs": runs})
