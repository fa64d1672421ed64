"""Experiments, runs with what they logged, and logged models.

Times are milliseconds since the epoch, as on MLflow's wire. Ids of runs and logged models are the ids clients see.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import CharField, F, Func, Q

from accounts.models import User
from core.addresses import address
from core.clock import from_ms, now_ms


class Lifecycle(models.TextChoices):
    ACTIVE = "active", "Active"
    DELETED = "deleted", "Deleted"


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    def visible_to(self, user: User) -> ExperimentQuerySet:
        """Everybody signed in reads all of them: see tracking/permissions.py."""
        return self if user.is_active else self.none()


class Experiment(models.Model):
    """A folder of runs. Id 0 is "Default": clients without an experiment send "0" and never ask."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=500, unique=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    artifact_location = models.CharField(max_length=500)
    lifecycle_stage = models.CharField(max_length=10, choices=Lifecycle.choices, default=Lifecycle.ACTIVE)
    creation_time = models.BigIntegerField(default=now_ms)
    last_update_time = models.BigIntegerField(default=now_ms)
    tags = models.JSONField(default=dict, blank=True)

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["-creation_time", "id"], name="experiment_newest_idx")]  # search, default order

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return address("experiment", self.pk)

    @property
    def created_at(self) -> datetime:
        return from_ms(self.creation_time)


class ParentRunId(Func):
    """The id of the run that a run says it is part of; null when it says none. Written out, as an index needs it."""

    output_field = CharField()

    def __init__(self, column: str = "tags") -> None:
        super().__init__(F(column))

    def as_sqlite(self, compiler: Any, connection: Any, **_context: Any) -> Any:
        return self.as_sql(compiler, connection, template="json_extract(%(expressions)s, '$.\"mlflow.parentRunId\"')")

    def as_postgresql(self, compiler: Any, connection: Any, **_context: Any) -> Any:
        return self.as_sql(compiler, connection, template="(%(expressions)s ->> 'mlflow.parentRunId')")


# What one line of a list says of a run: what it logged besides may be long.
_OF_A_LINE = (
    "run_name", "user_id_sent", "status", "start_time", "end_time", "lifecycle_stage", "metrics",
    "experiment__name", "user__username",
)  # fmt: skip


class RunQuerySet(models.QuerySet["Run"]):
    def visible_to(self, user: User) -> RunQuerySet:
        """Everybody signed in reads all of them: see tracking/permissions.py."""
        return self if user.is_active else self.none()

    def lines(self) -> RunQuerySet:
        """What one line of a list says of a run, and no more."""
        return self.select_related("experiment", "user").only(*_OF_A_LINE)


# What a run says of whether it is over, and of who made it.
OF_A_RUN = ("run_id", "status", "user_id", "user__owner_id")


class Run(models.Model):
    """One training run. ``params``, ``tags`` and ``metrics`` (last value each) stand beside the row, for reading,
    searching and evidence; MetricPoint keeps the history of metrics. One service writes both. A part of a name is found
    by an index that migrations 0004 and 0006 make."""

    class Status(models.TextChoices):
        RUNNING = "RUNNING"
        SCHEDULED = "SCHEDULED"
        FINISHED = "FINISHED"
        FAILED = "FAILED"
        KILLED = "KILLED"

    run_id = models.CharField(max_length=32, primary_key=True)
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="runs")
    run_name = models.CharField(max_length=250)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="runs", db_index=False
    )
    user_id_sent = models.CharField(max_length=256, blank=True)  # what the client calls its user; shown, never trusted
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    start_time = models.BigIntegerField(default=now_ms)
    end_time = models.BigIntegerField(null=True)
    lifecycle_stage = models.CharField(max_length=10, choices=Lifecycle.choices, default=Lifecycle.ACTIVE)
    params = models.JSONField(default=dict, blank=True)
    tags = models.JSONField(default=dict, blank=True)
    # key -> {"value": number or "NaN", "timestamp", "step", "model_id", "dataset_name", "dataset_digest"}
    metrics = models.JSONField(default=dict, blank=True)
    inputs = models.JSONField(default=dict, blank=True)  # {"models": [...]}; datasets have rows of their own
    outputs = models.JSONField(default=list, blank=True)  # [{"model_id", "step"}]
    # Set when a version is registered from this run: from then on its changes are announced (RUN_CHANGED_TASK).
    has_versions = models.BooleanField(default=False)

    objects = RunQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(
                fields=["experiment", "-start_time", "run_id"], name="run_newest_idx"
            ),  # search, default order
            # How many an experiment has, and when the last one began.
            models.Index(
                fields=["experiment", "-start_time"], name="run_listed_idx", condition=Q(lifecycle_stage="active")
            ),
            # The list of runs: of all experiments, of one status, of one person.
            models.Index(fields=["-start_time", "run_id"], name="run_newest_of_all_idx"),
            models.Index(fields=["status", "-start_time", "run_id"], name="run_status_idx"),
            models.Index(fields=["user", "-start_time", "run_id"], name="run_user_idx"),
            models.Index(ParentRunId(), name="run_parent_idx"),  # the runs that are parts of one
        ]

    def __str__(self) -> str:
        return f"{self.run_name} ({self.run_id})"

    def get_absolute_url(self) -> str:
        return address("run", self.run_id)

    @property
    def started_at(self) -> datetime:
        return from_ms(self.start_time)

    @property
    def ended_at(self) -> datetime | None:
        return None if self.end_time is None else from_ms(self.end_time)

    @property
    def took(self) -> timedelta | None:
        """None while it goes on, and where its end is said to lie before its start."""
        if self.end_time is None or self.end_time < self.start_time:
            return None
        return from_ms(self.end_time) - self.started_at

    @property
    def is_deleted(self) -> bool:
        return self.lifecycle_stage == Lifecycle.DELETED


class MetricPoint(models.Model):
    """One logged value; the history behind a run's last metrics. The same point again adds no row."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="metric_points")
    key = models.CharField(max_length=250)
    value = models.FloatField()
    is_nan = models.BooleanField(default=False)
    timestamp = models.BigIntegerField()
    step = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            # Also the index of a metric's history.
            models.UniqueConstraint(
                fields=["run", "key", "timestamp", "step", "value", "is_nan"], name="one_metric_point"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.key}={self.value} at step {self.step}"


class RunDataset(models.Model):
    """A dataset that a run used, in one context (training, evaluation…)."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="datasets")
    name = models.CharField(max_length=500)
    digest = models.CharField(max_length=36)
    source_type = models.CharField(max_length=36, blank=True)
    source = models.TextField(blank=True)
    schema = models.TextField(blank=True)
    profile = models.TextField(blank=True)
    tags = models.JSONField(default=dict, blank=True)  # holds mlflow.data.context

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name", "digest"], name="one_dataset_per_run")]

    def __str__(self) -> str:
        return f"{self.name} ({self.digest})"


class LoggedModel(models.Model):
    """A model that a 3.x client logged; its files lie under its own root, and a version may be registered from it."""

    class Status(models.TextChoices):
        PENDING = "LOGGED_MODEL_PENDING"
        READY = "LOGGED_MODEL_READY"
        UPLOAD_FAILED = "LOGGED_MODEL_UPLOAD_FAILED"

    model_id = models.CharField(max_length=34, primary_key=True)
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="logged_models")
    name = models.CharField(max_length=500)
    model_type = models.CharField(max_length=500, blank=True)
    source_run_id = models.CharField(max_length=32, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    status = models.CharField(max_length=30, choices=Status.choices, default=Status.PENDING)
    status_message = models.CharField(max_length=1000, blank=True)
    creation_timestamp = models.BigIntegerField(default=now_ms)
    last_updated_timestamp = models.BigIntegerField(default=now_ms)
    deleted_at = models.DateTimeField(null=True)
    tags = models.JSONField(default=dict, blank=True)
    params = models.JSONField(default=dict, blank=True)
    metrics = models.JSONField(
        default=list, blank=True
    )  # as on the wire: key, value, timestamp, step, run_id, dataset…

    class Meta:
        indexes = [
            # How a 3.x client resolves runs:/<run>/<name>.
            models.Index(fields=["experiment", "name", "-creation_timestamp"], name="logged_model_name_idx"),
            models.Index(fields=["source_run_id"], name="logged_model_run_idx", condition=~Q(source_run_id="")),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.model_id})"
