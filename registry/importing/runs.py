"""Experiments, runs with the history of their metrics, and logged models.

A run is written first without its last metrics, then its history, then these: so one whose history broke off is
recognised and completed by the next import.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from django.core.management.color import no_style
from django.db import connection, transaction

from accounts.models import User
from core.errors import Invalid
from core.keys import check_key
from registry.elsewhere import LOGGED_MODEL_ID
from registry.importing.report import Report
from registry.importing.source import Source, TheirExperiment, TheirLoggedModel, TheirMetric, TheirRun
from tracking.models import Experiment, Lifecycle, LoggedModel, MetricPoint, Run, RunDataset
from tracking.services.runs import MAX_PARAM_VALUE, MAX_TAG_VALUE, stored_value

RUN_ID = re.compile(r"[0-9a-f]{32}")
POINTS_AT_ONCE = 2000
_MAX_VALUE = 20_000  # of the tags of experiments, and of what logged models hold


def text(value: Any, most: int) -> str:
    """Text that the database holds, cut to its length."""
    return str(value).replace("\x00", "")[:most]


def pairs(report: Report, found: dict[str, str], *, of: str, what: str, most: int) -> dict[str, str]:
    """Those with a key that may be used here."""
    kept = {}
    for key, value in found.items():
        try:
            kept[check_key(key, what)] = text(value, most)
        except Invalid:
            report.leave(f"{key[:60]!r} of {of}", f"a {what} whose name is not allowed here")
    return kept


def lifecycle(stage: str) -> Lifecycle:
    return Lifecycle.DELETED if stage == Lifecycle.DELETED else Lifecycle.ACTIVE


class Tracking:
    def __init__(self, source: Source, *, owner: User, report: Report, is_dry: bool) -> None:
        self.source, self.owner, self.report, self.is_dry = source, owner, report, is_dry

    # -- Experiments ----------------------------------------------------------------------------------------------

    def experiment(self, theirs: TheirExperiment) -> Experiment | None:
        """Ours for theirs: the one of that name, or a new one; None in a dry run."""
        self.report.count("experiments", there=1)
        name = text(theirs.name, 500)
        ours = Experiment.objects.filter(name=name).first()
        if ours is None and theirs.experiment_id == "0":
            ours = Experiment.objects.filter(pk=0).first()
        if ours is not None:
            self.report.count("experiments", before=1)
            if ours.pk and ours.creation_time != theirs.creation_time:
                why = "an experiment of that name was here already: its runs go into it, its tags stay as they are"
                self.report.leave(name, why)
            return ours
        self.report.count("experiments", added=1)
        return None if self.is_dry else self._new_experiment(theirs, name)

    @transaction.atomic
    def _new_experiment(self, theirs: TheirExperiment, name: str) -> Experiment:
        """Under their number where it is free: scripts name experiments by it."""
        wanted = int(theirs.experiment_id) if re.fullmatch(r"[1-9][0-9]{0,17}", theirs.experiment_id) else None
        is_free = wanted is not None and not Experiment.objects.filter(pk=wanted).exists()
        ours = Experiment.objects.create(
            pk=wanted if is_free else None,
            name=name,
            user=self.owner,
            lifecycle_stage=lifecycle(theirs.lifecycle_stage),
            creation_time=theirs.creation_time,
            last_update_time=theirs.last_update_time,
            tags=pairs(self.report, theirs.tags, of=f"experiment {name}", what="tag", most=_MAX_VALUE),
        )
        ours.artifact_location = f"mlflow-artifacts:/{ours.pk}"
        ours.save(update_fields=["artifact_location"])
        if is_free:
            with connection.cursor() as cursor:
                for statement in connection.ops.sequence_reset_sql(no_style(), [Experiment]):
                    cursor.execute(statement)
        else:
            self.report.leave(name, f"an experiment whose number is taken here; {name} is {ours.pk}, not {wanted}")
        return ours

    # -- Runs -----------------------------------------------------------------------------------------------------

    def runs(self, page: Sequence[TheirRun], experiment: Experiment | None) -> list[str]:
        """Write those that are not here; the ids of all that are here then."""
        usable = [run for run in page if RUN_ID.fullmatch(run.run_id)]
        for run in page:
            if run not in usable:
                self.report.leave(run.run_id[:60], "a run whose id is not one of MLflow's")
        found = dict(Run.objects.filter(run_id__in=[r.run_id for r in usable]).values_list("run_id", "metrics"))
        wanted = [run for run in usable if run.run_id not in found or (run.metrics and not found[run.run_id])]
        self.report.count("runs", there=len(page), added=len(wanted), before=len(usable) - len(wanted))
        for run in wanted:
            if run.status in (Run.Status.RUNNING, Run.Status.SCHEDULED):
                self.report.leave(run.run_id, "a run that was not finished: taken as it stood")
        if wanted and experiment is not None:
            self._write_runs(wanted, experiment)
        return [run.run_id for run in usable]

    def _write_runs(self, wanted: Sequence[TheirRun], experiment: Experiment) -> None:
        rows = [self._run(run, experiment) for run in wanted]
        with transaction.atomic():
            Run.objects.bulk_create(rows, ignore_conflicts=True)
            datasets = [self._dataset(run, entry) for run in wanted for entry in run.datasets]
            RunDataset.objects.bulk_create(datasets, ignore_conflicts=True)
        for run, row in zip(wanted, rows, strict=True):
            self._write_history(run)
            row.metrics = {m.key: _entry(m) for m in self._usable(run.metrics, of=run.run_id)}
        with transaction.atomic():
            Run.objects.bulk_update([row for row in rows if row.metrics], ["metrics"], batch_size=100)

    def _run(self, run: TheirRun, experiment: Experiment) -> Run:
        of = f"run {run.run_id}"
        return Run(
            run_id=run.run_id,
            experiment=experiment,
            run_name=text(run.run_name, 250),
            user=self.owner,
            user_id_sent=text(run.user_id, 256),
            status=run.status if run.status in Run.Status.values else Run.Status.FINISHED,
            start_time=run.start_time,
            end_time=run.end_time,
            lifecycle_stage=lifecycle(run.lifecycle_stage),
            params=pairs(self.report, run.params, of=of, what="parameter", most=MAX_PARAM_VALUE),
            tags=pairs(self.report, run.tags, of=of, what="tag", most=MAX_TAG_VALUE),
            inputs={"models": run.inputs} if run.inputs else {},
            outputs=run.outputs,
        )

    def _dataset(self, run: TheirRun, entry: dict[str, Any]) -> RunDataset:
        said = entry["dataset"]
        return RunDataset(
            run_id=run.run_id,
            name=text(said.get("name", ""), 500),
            digest=text(said.get("digest", ""), 36),
            source_type=text(said.get("source_type") or "", 36),
            source=text(said.get("source") or "", 10**6),
            schema=text(said.get("schema") or "", 10**6),
            profile=text(said.get("profile") or "", 10**8),
            tags={text(key, 250): text(value, MAX_TAG_VALUE) for key, value in entry["tags"].items()},
        )

    def _write_history(self, run: TheirRun) -> None:
        waiting: list[MetricPoint] = []
        for key in dict.fromkeys(metric.key for metric in self._usable(run.metrics, of=run.run_id, is_told=False)):
            for page in self.source.history(run.run_id, key):
                waiting += [_point(run.run_id, metric) for metric in page]
                self.report.count("metric points", there=len(page), added=len(page))
                if len(waiting) >= POINTS_AT_ONCE:
                    MetricPoint.objects.bulk_create(waiting, batch_size=POINTS_AT_ONCE, ignore_conflicts=True)
                    waiting.clear()
        MetricPoint.objects.bulk_create(waiting, ignore_conflicts=True)

    def _usable(self, metrics: Iterable[TheirMetric], *, of: str, is_told: bool = True) -> list[TheirMetric]:
        kept = []
        for metric in metrics:
            try:
                check_key(metric.key, "metric")
                float(metric.value)
            except (Invalid, TypeError, ValueError):
                if is_told:
                    self.report.leave(f"{metric.key[:60]!r} of run {of}", "a metric whose name or value is not allowed")
                continue
            kept.append(metric)
        return kept

    # -- Logged models --------------------------------------------------------------------------------------------

    def logged_models(self, page: Sequence[TheirLoggedModel], experiment: Experiment | None) -> list[str]:
        """Write those that are not here; the ids of all that are here then."""
        usable = [model for model in page if LOGGED_MODEL_ID.fullmatch(model.model_id)]
        for model in page:
            if model not in usable:
                self.report.leave(model.model_id[:60], "a logged model whose id is not one of MLflow's")
        ids = [model.model_id for model in usable]
        found = set(LoggedModel.objects.filter(model_id__in=ids).values_list("model_id", flat=True))
        wanted = [model for model in usable if model.model_id not in found]
        self.report.count("logged models", there=len(page), added=len(wanted), before=len(found))
        if wanted and experiment is not None:
            LoggedModel.objects.bulk_create([self._logged_model(model, experiment) for model in wanted])
        return ids

    def _logged_model(self, model: TheirLoggedModel, experiment: Experiment) -> LoggedModel:
        of = f"logged model {model.model_id}"
        return LoggedModel(
            model_id=model.model_id,
            experiment=experiment,
            name=text(model.name, 500),
            model_type=text(model.model_type, 500),
            source_run_id=text(model.source_run_id, 32),
            user=self.owner,
            status=model.status if model.status in LoggedModel.Status.values else LoggedModel.Status.READY,
            status_message=text(model.status_message, 1000),
            creation_timestamp=model.creation_timestamp,
            last_updated_timestamp=model.last_updated_timestamp,
            tags=pairs(self.report, model.tags, of=of, what="tag", most=_MAX_VALUE),
            params=pairs(self.report, model.params, of=of, what="parameter", most=_MAX_VALUE),
            metrics=[
                {"key": metric.key, "run_id": metric.run_id, **_entry(metric)}
                for metric in self._usable(model.metrics, of=model.model_id)
            ],
        )


def _value(metric: TheirMetric) -> float | None:
    """As it is kept: infinities as the largest number; None for what is not a number."""
    value = float(metric.value)
    return None if math.isnan(value) else stored_value(value)


def _entry(metric: TheirMetric) -> dict[str, Any]:
    value = _value(metric)
    entry = {"value": "NaN" if value is None else value, "timestamp": metric.timestamp, "step": metric.step}
    named = {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest, "model_id": metric.model_id}
    return entry | {key: given for key, given in named.items() if given}


def _point(run_id: str, metric: TheirMetric) -> MetricPoint:
    value = _value(metric)
    return MetricPoint(
        run_id=run_id,
        key=metric.key,
        value=0.0 if value is None else value,
        is_nan=value is None,
        timestamp=metric.timestamp,
        step=metric.step,
    )
