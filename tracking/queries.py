"""What the pages ask of runs and experiments: what one may not see is not there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Case, OuterRef, Q, QuerySet, Subquery, When

from accounts.models import User
from core.counting import CountOf
from core.errors import Invalid, NotFound
from core.prepared import Many, Prepared
from tracking.models import Experiment, Lifecycle, ParentRunId, Run
from tracking.search import fitting

MOST_RUNS = 1001  # that are counted of an experiment
PARENT_TAG = "mlflow.parentRunId"
DESCRIPTION_TAG = "mlflow.note.content"
DELETED = "DELETED"  # stands beside the statuses where runs are chosen by them


_RUNS = Prepared(lambda ids: Run.objects.filter(pk__in=ids).select_related("experiment", "user"), Many(str))
_EXPERIMENT = Prepared(lambda key: Experiment.objects.select_related("user").filter(pk=key), int)


def get_run(user: User, run_id: str) -> Run:
    """With its experiment and its user; deleted runs are found too."""
    [run] = get_runs(user, [run_id])
    return run


def get_runs(user: User, run_ids: list[str]) -> list[Run]:
    """In this order, each once. Raises NotFound, naming the first that there is not."""
    asked = list(dict.fromkeys(run_ids))
    for run_id in asked:
        if "\x00" in run_id or len(run_id) > 32:
            raise _no_run(run_id)
    found = {run.run_id: run for run in _RUNS.all(asked)} if user.is_active else {}  # as visible_to says
    for run_id in asked:
        if run_id not in found:
            raise _no_run(run_id)
    return [found[run_id] for run_id in asked]


def _no_run(run_id: str) -> NotFound:
    return NotFound(f"There is no run {run_id[:60]} on this server, or it is not for you to see.")


def get_experiment(user: User, key: int) -> Experiment:
    """By its id; deleted experiments are found too."""
    experiment = _EXPERIMENT.first(key) if user.is_active else None  # as visible_to says
    if experiment is None:
        raise NotFound(f"There is no experiment {str(key)[:60]} on this server, or it is not for you to see.")
    return experiment


def runs_like(
    user: User,
    *,
    experiment: int | None = None,
    status: str = "",
    username: str = "",
    text: str = "",
    filter_text: str = "",
) -> QuerySet[Run]:
    """Those that fit everything that is given, as ``lines``; deleted ones only when ``status`` asks for them.

    ``text`` is a part of the name, ``filter_text`` is in MLflow's language. Raises Invalid, saying what is wrong.
    """
    rows = Run.objects.visible_to(user).lines()
    if status and status not in (*Run.Status.values, DELETED):
        raise Invalid(f"There is no status {status[:60]!r}. Choose one of the list.", field="status")
    if status == DELETED:
        rows = rows.filter(lifecycle_stage=Lifecycle.DELETED)
    else:
        rows = rows.filter(lifecycle_stage=Lifecycle.ACTIVE, **({"status": status} if status else {}))
    if experiment is not None:
        rows = rows.filter(experiment=experiment)
    if username:
        rows = rows.filter(user__username=username)
    if text:
        rows = rows.filter(run_name__icontains=text)
    return fitting(rows, filter_text)


@dataclass(frozen=True, slots=True)
class Relatives:
    parent: Run | None
    children: Sequence[Run]
    more: bool  # there are more children


def relatives(user: User, run: Run, *, limit: int) -> Relatives:
    """The run that this one is a part of, and its own parts, the first ``limit``; in one statement."""
    parent_id = str(run.tags.get(PARENT_TAG, ""))
    rows = Run.objects.visible_to(user).alias(parent=ParentRunId()).exclude(pk=run.pk)
    rows = rows.filter(Q(parent=run.run_id) | Q(run_id=parent_id))
    is_parent = Case(When(run_id=parent_id, then=0), default=1)
    # The parent, and one child more than is shown: then there are more.
    found = list(rows.defer("params", "metrics").order_by(is_parent, "start_time", "run_id")[: limit + 2])
    children = [row for row in found if row.run_id != parent_id]
    parent = next((row for row in found if row.run_id == parent_id), None)
    return Relatives(parent, children[:limit], more=len(children) > limit)


@dataclass(frozen=True, slots=True)
class ListedExperiment:
    experiment: Experiment
    run_count: int  # up to MOST_RUNS
    last_start: int | None  # milliseconds


def listed(experiments: list[Experiment]) -> list[ListedExperiment]:
    """Each with the number of its runs, without the deleted ones, and when the last one started; in one statement."""
    active = Run.objects.filter(experiment=OuterRef("pk"), lifecycle_stage=Lifecycle.ACTIVE)
    last = active.filter(start_time__isnull=False).order_by("-start_time").values("start_time")[:1]
    rows = Experiment.objects.filter(pk__in=[experiment.pk for experiment in experiments])
    found = {row[0]: row[1:] for row in rows.values_list("pk", CountOf(active, most=MOST_RUNS), Subquery(last))}
    return [ListedExperiment(experiment, *found[experiment.pk]) for experiment in experiments]
