"""The last figures of runs, found by a part of their name, and which of them are drawn as charts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from core.addresses import address
from core.keyset import number_in
from tracking.models import Run
from web.signed_in import SignedInRequest

MAX_CHARTS = 8
SHOWN_CHARTS = 4
PAGE_SIZE = 50


@dataclass(frozen=True, slots=True)
class Chart:
    """One metric of one or more runs; ``series`` says for each where its curve is to be had, as JSON for chart.js."""

    metric: str
    series: str
    tables: list[tuple[str, str]]  # the name of each run, and the address of its points as a table


def charts_wanted(request: SignedInRequest, runs: list[Run]) -> list[str]:
    """The metrics that the address names, or the first that were logged more than once: only those make a curve."""
    known = {name for run in runs for name in run.metrics}
    chosen = [name for name in dict.fromkeys(request.GET.getlist("metric")) if name in known]
    if chosen:
        return chosen[:MAX_CHARTS]
    curved = {name for run in runs for name, last in run.metrics.items() if last["step"] > 0}
    return sorted(curved, key=lambda name: (name.startswith("system/"), name))[:SHOWN_CHARTS]


def charts_of(names: list[str], runs: list[Run]) -> list[Chart]:
    """One address serves all curves of a run, so that as many requests are made as there are runs."""
    addresses = [
        f"{address('run_history', run.run_id)}?{urlencode({'format': 'json', 'metric': names}, doseq=True)}"
        for run in runs
    ]
    drawn = []
    for name in names:
        with_it = [(at, run) for at, run in enumerate(runs) if name in run.metrics]
        series = [{"url": addresses[at], "label": run.run_name, "look": at + 1} for at, run in with_it]
        tables = [
            (run.run_name, f"{address('run_history', run.run_id)}?{urlencode({'metric': name})}") for _, run in with_it
        ]
        drawn.append(Chart(name, json.dumps(series), tables))
    return drawn


def metrics_of(request: SignedInRequest, run: Run) -> dict[str, Any]:
    """One page of the last values, of those whose name has ``?find=`` in it."""
    find = request.GET.get("find", "").strip()
    names = sorted(name for name in run.metrics if find.lower() in name.lower())
    start = number_in(request.GET.get("from", ""), digits=8) or 0
    kept = [("find", find)] if find else []
    kept += [("metric", name) for name in request.GET.getlist("metric")]
    return {
        "find": find,
        "metrics": [{"name": name, **run.metrics[name]} for name in names[start : start + PAGE_SIZE]],
        "metric_count": len(run.metrics),
        "found_count": len(names),
        "first": start + 1,
        "last": min(start + PAGE_SIZE, len(names)),
        "previous_url": f"?{urlencode([*kept, ('from', max(0, start - PAGE_SIZE))])}#metrics" if start else "",
        "next_url": f"?{urlencode([*kept, ('from', start + PAGE_SIZE)])}#metrics"
        if start + PAGE_SIZE < len(names)
        else "",
    }
