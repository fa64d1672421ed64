"""/runs/compare/?run=A&run=B: a few runs side by side, and their curves in one chart."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from registry.queries import versions_of_runs
from tracking.models import Run
from tracking.queries import get_runs
from web.pages.run_metrics import charts_of, charts_wanted
from web.signed_in import SignedInRequest

MAX_RUNS = 8
SHOWN = 200  # parameters that differ, metrics


@require_safe
def compare(request: SignedInRequest) -> HttpResponse:
    asked = list(dict.fromkeys(request.GET.getlist("run")))
    runs = get_runs(request.user, asked[:MAX_RUNS])
    chosen = charts_wanted(request, runs)
    find = request.GET.get("find", "").strip()
    versions = versions_of_runs(request.user, [run.run_id for run in runs]) if runs else {}
    differing, alike = _params(runs)
    context = {
        "columns": [
            {
                "run": run,
                "look": at,
                "versions": versions.get(run.run_id, [])[:3],
                "without": urlencode([("run", other.run_id) for other in runs if other is not run]),
            }
            for at, run in enumerate(runs, start=1)
        ],
        "left_out": len(asked) - len(runs),
        "max_runs": MAX_RUNS,
        "charts": charts_of(chosen, runs),
        "chosen": chosen,
        "find": find,
        "params": differing[:SHOWN],
        "more_params": max(0, len(differing) - SHOWN),
        "alike": alike[:SHOWN],
        "alike_count": len(alike),
        **_metrics(runs, find),
    }
    return render(request, "runs/compare.html", context)


def _params(runs: list[Run]) -> tuple[list[tuple[str, list[str | None]]], list[tuple[str, str | None]]]:
    """Those that differ, with the value in each run, and those that are the same in all."""
    differing: list[tuple[str, list[str | None]]] = []
    alike: list[tuple[str, str | None]] = []
    for name in sorted({name for run in runs for name in run.params}):
        values = [run.params.get(name) for run in runs]
        if len(set(values)) > 1:
            differing.append((name, values))
        else:
            alike.append((name, values[0]))
    return differing, alike


def _metrics(runs: list[Run], find: str) -> dict[str, Any]:
    names = sorted({name for run in runs for name in run.metrics if find.lower() in name.lower()})
    rows = [
        (name, [run.metrics[name]["value"] if name in run.metrics else None for run in runs]) for name in names[:SHOWN]
    ]
    return {"metrics": rows, "more_metrics": max(0, len(names) - SHOWN)}
