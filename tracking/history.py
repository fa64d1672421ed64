"""The history of metrics: page by page, of several runs at once, and thinned out for charts.

Every answer is read in the order of the index ``one_metric_point`` (run, key, timestamp, step, value).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import QuerySet, Window
from django.db.models.functions import RowNumber

from core import keyset
from core.errors import NotFound
from core.keyset import Key
from tracking.models import MetricPoint, Run

_IN_TIME = (Key("timestamp", int), Key("step", int), Key("value", float), Key("is_nan", bool))
_BY_STEP = ("step", "timestamp", "value", "is_nan")


@dataclass(frozen=True, slots=True)
class HistoryPage:
    points: list[MetricPoint]
    next_page_token: str


def history(run_id: str, key: str, *, limit: int, page_token: str = "") -> HistoryPage:
    """The points of one metric by timestamp, step and value; none for an unknown run or key."""
    points = MetricPoint.objects.filter(run=run_id, key=key)
    if page_token:
        points = points.filter(keyset.after(_IN_TIME, page_token))
    found = list(points.order_by(*(column.order for column in _IN_TIME))[: limit + 1])
    if len(found) <= limit:
        return HistoryPage(found, "")
    return HistoryPage(found[:limit], keyset.token_of(_IN_TIME, found[limit - 1]))


def history_of_runs(run_ids: Sequence[str], key: str, *, limit: int) -> list[MetricPoint]:
    """The first ``limit`` points of one metric in several runs, run by run in the order of their ids."""
    points = MetricPoint.objects.filter(run__in=run_ids, key=key)
    return list(points.order_by("run_id", *(column.order for column in _IN_TIME))[:limit])


def sampled_history(
    run_ids: Sequence[str], key: str, *, limit: int, steps: tuple[int, int] | None = None
) -> list[MetricPoint]:
    """At most ``limit`` points of each run, evenly spread over its steps, the first and the last among them.

    ``steps`` are the first and last step to look at. Raises NotFound for a run that there is not.
    """
    known = set(Run.objects.filter(run_id__in=run_ids).values_list("run_id", flat=True))
    for run_id in run_ids:
        if run_id not in known:
            raise NotFound(f"Run with id={run_id[:60]} not found")
    return [point for run_id in run_ids for point in _sample(_of_run(run_id, key, steps), limit)]


def _of_run(run_id: str, key: str, steps: tuple[int, int] | None) -> QuerySet[MetricPoint]:
    points = MetricPoint.objects.filter(run=run_id, key=key)
    return points.filter(step__range=steps) if steps else points


def _sample(points: QuerySet[MetricPoint], limit: int) -> list[MetricPoint]:
    numbered = points.annotate(number=Window(RowNumber(), order_by=_BY_STEP)).order_by(*_BY_STEP)
    count = points.count()
    return list(numbered.filter(number__in=_spread(count, limit)) if count > limit else numbered)


def _spread(count: int, limit: int) -> list[int]:
    """Of the numbers 1 to ``count``: the first of each of ``limit`` equal parts, but the very last in the last place.

    The first parts are longer by one where it does not come out even, as SQL's NTILE has it.
    """
    size, longer = divmod(count, limit)
    starts = [1 + part * size + min(part, longer) for part in range(limit)]
    return [*starts[:-1], count]
