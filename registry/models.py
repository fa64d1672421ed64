"""Registered models, their versions, who holds which stage and alias, and the evidence about a version.

Deleting hides a row and never removes it: decisions hang on internal ids, so a deleted and recreated name inherits
nothing. Times are milliseconds since the epoch, as on MLflow's wire. A foreign key has no index of its own where one
stated below starts with it, or where nobody asks from the other side: people and evidence are never deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models import EVERY_MODEL, Level, User
from accounts.permissions import default_level, grants_of
from core.addresses import address
from core.clock import from_ms, now, now_ms

PROMPT_TAG = "mlflow.prompt.is_prompt"


def says_prompt(tags: Mapping[str, str]) -> bool:
    """Whether the tags of a model or version make it a prompt (mlflow/entities: any spelling of true)."""
    return tags.get(PROMPT_TAG, "").lower() == "true"


class Stage(models.TextChoices):
    NONE = "None", "None"
    STAGING = "Staging", "Staging"
    PRODUCTION = "Production", "Production"
    ARCHIVED = "Archived", "Archived"


HELD_STAGES = (Stage.STAGING, Stage.PRODUCTION)  # where one version takes the place of another; elsewhere lie many


class TargetKind(models.TextChoices):
    STAGE = "stage", "Stage"
    ALIAS = "alias", "Alias"


def sees_every_model(user: User) -> bool:
    return user.reach == EVERY_MODEL and _reads_without_grants(user)


def _reads_without_grants(user: User) -> bool:
    # The default first: who asks may still be on the way (web.authentication.Caller).
    return default_level() >= Level.READ or user.is_superuser or user.is_auditor


def _visible(user: User, prefix: str = "") -> Q:
    """The condition under which ``user`` may read a model; ``prefix`` leads from the queried table to it."""
    within = _within_reach(user, prefix)
    return within if _reads_without_grants(user) else within & _granted(user, Level.READ, prefix)


def _within_reach(user: User, prefix: str = "") -> Q:
    return Q() if user.reach == EVERY_MODEL else Q(**{f"{prefix}name__glob": user.reach})


def _granted(user: User, level: Level, prefix: str = "") -> Q:
    condition = Q(pk__in=[])
    for grant in grants_of(user):
        if grant.level < level:
            continue
        if grant.model_id is not None:
            condition |= Q(**{f"{prefix}id": grant.model_id})
        else:
            condition |= Q(**{f"{prefix}name__glob": grant.pattern})
    return condition


class RegisteredModelQuerySet(models.QuerySet["RegisteredModel"]):
    def live(self) -> RegisteredModelQuerySet:
        return self.filter(deleted_at=None)

    def visible_to(self, user: User) -> RegisteredModelQuerySet:
        return self.filter(_visible(user))

    def managed_by(self, user: User) -> RegisteredModelQuerySet:
        within = self.filter(_within_reach(user))
        every = default_level() >= Level.MANAGE or user.is_superuser
        return within if every else within.filter(_granted(user, Level.MANAGE))


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def live(self) -> ModelVersionQuerySet:
        return self.filter(deleted_at=None)

    def visible_to(self, user: User) -> ModelVersionQuerySet:
        return self.filter(_visible(user, "model__"))


class RegisteredModel(models.Model):
    """A name with versions. ``aliases`` (alias -> version number) stands beside the row for the hot reads, Alias serves
    searching and history; the services write both in one transaction. ``tags`` of models and of versions are found by
    indexes that migration 0009 makes, on PostgreSQL."""

    id = models.BigAutoField(primary_key=True)
    name = models.CharField(max_length=256)
    description = models.TextField(blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    creation_timestamp = models.BigIntegerField(default=now_ms)
    last_updated_timestamp = models.BigIntegerField(default=now_ms)
    last_version = models.PositiveIntegerField(default=0)  # the highest number ever given; counts deleted versions
    tags = models.JSONField(default=dict, blank=True)
    aliases = models.JSONField(default=dict, blank=True)
    is_prompt = models.BooleanField(default=False)  # from PROMPT_TAG; prompts are left out of ordinary searches
    deleted_at = models.DateTimeField(null=True, blank=True)

    objects = RegisteredModelQuerySet.as_manager()

    class Meta:
        constraints = [
            # A name belongs to one living model; also the index of every look-up by name.
            models.UniqueConstraint(fields=["name"], condition=Q(deleted_at=None), name="one_live_model_per_name"),
        ]
        indexes = [
            models.Index(fields=["-last_updated_timestamp", "name"], name="model_updated_idx"),  # order_by last update
            models.Index(fields=["name"], name="model_name_idx"),  # whose events of a name are: deleted models, too
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return address("model", self.name)

    @property
    def created_at(self) -> datetime:
        return from_ms(self.creation_timestamp)

    @property
    def updated_at(self) -> datetime:
        return from_ms(self.last_updated_timestamp)


class ModelVersion(models.Model):
    class Status(models.TextChoices):
        PENDING_REGISTRATION = "PENDING_REGISTRATION"
        FAILED_REGISTRATION = "FAILED_REGISTRATION"
        READY = "READY"

    id = models.BigAutoField(primary_key=True)
    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="versions", db_index=False)
    version = models.PositiveIntegerField()
    current_stage = models.CharField(max_length=10, choices=Stage.choices, default=Stage.NONE)
    description = models.TextField(blank=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_index=False
    )
    creation_timestamp = models.BigIntegerField(default=now_ms)
    last_updated_timestamp = models.BigIntegerField(default=now_ms)
    source = models.CharField(max_length=500)
    storage_location = models.CharField(max_length=1000)  # what get-download-uri answers; fixed at creation
    run_id = models.CharField(max_length=32, blank=True)  # as given: may name a run of another tracking server
    logged_model_id = models.CharField(max_length=34, blank=True)
    run_link = models.CharField(max_length=500, blank=True)
    status = models.CharField(max_length=25, choices=Status.choices, default=Status.READY)
    status_message = models.CharField(max_length=1000, blank=True)
    tags = models.JSONField(default=dict, blank=True)
    # Where its files lie with us: owner_id of ArtifactFile and the folder below that root ("" is the whole root).
    artifact_owner = models.CharField(max_length=34, blank=True)
    artifact_folder = models.CharField(max_length=1000, blank=True)
    digest = models.CharField(max_length=64, blank=True)  # empty: the bytes are not with us
    file_count = models.PositiveIntegerField(default=0)
    total_size = models.BigIntegerField(default=0)
    evidence = models.ForeignKey("Evidence", null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    deleted_at = models.DateTimeField(null=True, blank=True)
    # No column: what is known of its files, where that came along (registry.scanning.scans_along).
    scans: list[list[Any]] | None = None

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "version"], name="one_number_per_model")]
        indexes = [
            # Search within a model, default order; keyset paging.
            models.Index(
                fields=["model", "-last_updated_timestamp", "-version"],
                name="version_model_updated_idx",
                condition=Q(deleted_at=None),
            ),
            # Search over everything, default order.
            models.Index(
                fields=["-last_updated_timestamp", "model", "-version"],
                name="version_updated_idx",
                condition=Q(deleted_at=None),
            ),
            # Search over everything by the other two orders.
            models.Index(fields=["-creation_timestamp"], name="version_created_idx", condition=Q(deleted_at=None)),
            models.Index(fields=["version"], name="version_number_idx", condition=Q(deleted_at=None)),
            models.Index(fields=["run_id"], name="version_run_idx", condition=~Q(run_id="")),  # search by run
            models.Index(fields=["digest"], name="version_digest_idx", condition=~Q(digest="")),  # found by its bytes
            models.Index(fields=["model", "current_stage", "-version"], name="version_stage_idx"),  # holders of a stage
            # Is this file frozen?
            models.Index(fields=["artifact_owner"], name="version_artifact_idx", condition=~Q(artifact_owner="")),
        ]

    def __str__(self) -> str:
        return f"{self.model} version {self.version}"

    def get_absolute_url(self) -> str:
        return address("version", self.model.name, self.version)

    @property
    def created_at(self) -> datetime:
        return from_ms(self.creation_timestamp)

    @property
    def updated_at(self) -> datetime:
        return from_ms(self.last_updated_timestamp)

    @property
    def aliases(self) -> list[str]:
        return sorted(alias for alias, number in self.model.aliases.items() if number == self.version)


class LatestVersion(models.Model):
    """The live version with the highest number in each stage: makes the hottest call independent of their number."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="latest", db_index=False)
    stage = models.CharField(max_length=10, choices=Stage.choices)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "stage"], name="one_latest_per_stage")]

    def __str__(self) -> str:
        return f"{self.stage}: {self.version}"


class Alias(models.Model):
    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="alias_rows", db_index=False)
    name = models.CharField(max_length=255)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="alias_rows")
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    set_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="one_version_per_alias")]

    def __str__(self) -> str:
        return f"{self.model}@{self.name}"


class StageHolding(models.Model):
    """A version's time in a stage or under an alias: who put it there, when, and until when."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="holdings", db_index=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="holdings")
    target_kind = models.CharField(max_length=5, choices=TargetKind.choices)
    target = models.CharField(max_length=255)
    since = models.DateTimeField(default=now)
    until = models.DateTimeField(null=True)
    set_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    request_id = models.BigIntegerField(null=True)  # the transition request that was applied, if one was

    class Meta:
        indexes = [
            models.Index(fields=["model", "target_kind", "target", "-since"], name="holding_history_idx"),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["version", "target_kind", "target"], condition=Q(until=None), name="one_open_holding"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.version} in {self.target} since {self.since:%Y-%m-%d}"


class ArtifactFile(models.Model):
    """One uploaded file. ``owner_id`` is a run id or a logged model id, ``path`` is relative to its root.

    The bytes lie under ``storage_key``, a name of our own: no path that a client gave ever reaches the disk, and a
    file becomes visible by its row, whole or not at all.
    """

    owner_id = models.CharField(max_length=34)
    path = models.CharField(max_length=1000)
    size = models.BigIntegerField()
    sha256 = models.CharField(max_length=64)
    storage_key = models.CharField(max_length=100, unique=True)
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    uploaded_at = models.BigIntegerField(default=now_ms)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner_id", "path"], name="one_file_per_path")]

    def __str__(self) -> str:
        return f"{self.owner_id}/{self.path}"


class FileScan(models.Model):
    """What a static reading of a file's bytes found, kept by content: the same bytes are read once.

    ``reader`` is the version of the reading; a newer one reads again.
    """

    class Verdict(models.TextChoices):
        PLAIN = "plain", "Holds no pickle"
        CLEAN = "clean", "Imports only what is known"
        UNSAFE = "unsafe", "Imports what may run anything"
        UNREAD = "unread", "Could not be read to its end"

    sha256 = models.CharField(max_length=64, primary_key=True)
    verdict = models.CharField(max_length=10, choices=Verdict.choices)
    findings = models.JSONField(default=list)  # sentences: what is unsafe, or why it could not be read
    reader = models.PositiveSmallIntegerField()
    scanned_at = models.DateTimeField(default=now)

    def __str__(self) -> str:
        return f"{self.sha256[:12]}: {self.verdict}"


class DirectUpload(models.Model):
    """A file on its way to the store without us: not there until it is finished, hashed and has its ArtifactFile.

    ``id`` is what the client calls the upload, ``store_id`` what the store calls it. A finished one is kept for a
    while, so that finishing again is answered the same.
    """

    id = models.CharField(max_length=32, primary_key=True)
    owner_id = models.CharField(max_length=34)
    path = models.CharField(max_length=1000)
    storage_key = models.CharField(max_length=100, unique=True)
    store_id = models.TextField()
    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    started_at = models.BigIntegerField(default=now_ms)
    finished_at = models.BigIntegerField(null=True, blank=True)

    class Meta:
        indexes = [models.Index(fields=["started_at"], name="direct_upload_age_idx")]  # the sweep of abandoned ones

    def __str__(self) -> str:
        return f"{self.owner_id}/{self.path} on its way"


class Evidence(models.Model):
    """What was known of a version at one moment; never changed, so a request can pin it and a page never empties.

    ``data``: {"run": {...} | None, "params": {}, "metrics": {}, "tags": {}, "datasets": [], "commit": "",
    "signature": {...} | None, "files": [[path, size, sha256]]}; ``digest`` is the SHA-256 of it as canonical JSON.
    What another tracking server said has the address of that server under "origin". ``packages`` is no part of either:
    by name the versions that the files in ``data`` ask for, once they are read (registry/dependencies.py).
    """

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="evidence_history", db_index=False)
    digest = models.CharField(max_length=64)
    data = models.JSONField()
    packages = models.JSONField(null=True, editable=False)  # null: nobody has read the files yet, or they name none
    taken_at = models.DateTimeField(default=now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "digest"], name="one_evidence_per_digest")]

    def __str__(self) -> str:
        return f"evidence {self.digest[:12]} of {self.version}"


class VersionMetric(models.Model):
    """The last value of a metric, as the current evidence of the version says: what the versions of a model are sorted
    and drawn by. Written with the evidence; what is no number (NaN, infinity) has no row."""

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="+", db_index=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="metrics", db_index=False)
    number = models.PositiveIntegerField()  # of the version
    name = models.CharField(max_length=250)
    value = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["version", "name"], name="one_value_per_metric")]
        indexes = [
            models.Index(fields=["model", "name", "number"], name="metric_over_versions_idx"),  # the chart
            models.Index(fields=["model", "name", "value", "number"], name="metric_order_idx"),  # the sorted table
        ]

    def __str__(self) -> str:
        return f"{self.name} = {self.value} of {self.version}"


class DeploymentQuerySet(models.QuerySet["Deployment"]):
    def with_rows(self) -> DeploymentQuerySet:
        """With the version, who reported it, and the number that Production is at now: what one is shown by."""
        latest = LatestVersion.objects.filter(model=models.OuterRef("model"), stage=Stage.PRODUCTION)
        rows = self.select_related("version__model", "reporter").defer("version__description", "version__tags")
        return rows.annotate(in_production=models.Subquery(latest.values("version__version")[:1]))


class Deployment(models.Model):
    """A place where a model runs, with the version that runs there, as last reported by what deploys it."""

    in_production: int | None  # see with_rows

    class Status(models.TextChoices):
        DEPLOYING = "deploying", "Deploying"
        RUNNING = "running", "Running"
        FAILED = "failed", "Failed"
        STOPPED = "stopped", "Stopped"

    model = models.ForeignKey(RegisteredModel, on_delete=models.CASCADE, related_name="deployments", db_index=False)
    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="deployments")
    name = models.CharField(max_length=250)
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.RUNNING)
    link = models.CharField(max_length=1000, blank=True)
    reporter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+", db_index=False)
    reported_at = models.DateTimeField(default=now)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["model", "name"], name="one_version_per_deployment")]

    def __str__(self) -> str:
        return f"{self.name}: {self.version}, {self.get_status_display()}"

    @property
    def is_behind(self) -> str:
        """Why what runs there should not, in words; empty where it may, or where nothing runs."""
        if self.status in (self.Status.STOPPED, self.Status.FAILED):
            return ""
        if self.version.deleted_at:
            return f"version {self.version.version} is deleted"
        if self.version.current_stage in HELD_STAGES or self.version.aliases:
            return ""
        now_at = f", Production is {self.in_production}" if self.in_production else ""
        return f"version {self.version.version} holds nothing{now_at}"


class RunReading(models.Model):
    """The run of a version that lies on another tracking server: to be read from there, read, or given up.

    ``next_attempt_at`` is also the lease: whoever claims the row moves it into the future, and ``attempts`` tells the
    claims apart. Long waits live here, never in a waiting task.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        READ = "read", "Read"
        FAILED = "failed", "Failed"

    version = models.OneToOneField(ModelVersion, on_delete=models.CASCADE, related_name="run_reading")
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    server = models.CharField(max_length=500)  # its address, without user and password
    reason = models.TextField(blank=True)  # what the last try said; of one that was read, what is missing
    attempts = models.PositiveSmallIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=now)
    asked_at = models.DateTimeField(default=now)
    read_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["next_attempt_at"], name="reading_due_idx", condition=Q(state="waiting")),  # the claim
        ]

    def __str__(self) -> str:
        return f"run of {self.version}: {self.state}"
