"""Registered models with all that hangs on them: each is written whole, in one transaction, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from core import jobs
from core.clock import from_ms
from core.digests import sha256_json, tree_digest
from core.errors import Invalid
from notifications.events import record
from notifications.models import Event
from registry.artifacts import clean_path
from registry.elsewhere import LOGGED_MODEL_ID
from registry.events import ModelCreated, ModelImported
from registry.evidence import NOTHING, folder_files, refresh, relative, snapshot
from registry.importing.report import Report
from registry.importing.runs import pairs, text
from registry.importing.source import DELETED, Source, TheirModel, TheirVersion
from registry.metric_rows import AT_ONCE as METRICS_AT_ONCE
from registry.metric_rows import figures_of, metric_rows
from registry.models import (
    HELD_STAGES,
    Alias,
    Evidence,
    LatestVersion,
    ModelVersion,
    RegisteredModel,
    Stage,
    StageHolding,
    TargetKind,
    VersionMetric,
    says_prompt,
)
from registry.services._rows import MAX_DESCRIPTION, MAX_TAG_VALUE, check_name
from registry.services.aliases import check_alias
from tracking.models import LoggedModel, Run

VERSIONS_AT_ONCE = 500
# Where every MLflow server puts the files of a run or logged model, whatever stands before it.
_ROOT = re.compile(r"(?:^|.*/)(?:(?P<run>[0-9a-f]{32})|models/(?P<model>m-[0-9a-f]{32}))/artifacts(?:/(?P<path>.*))?")
_REMOTE = re.compile(r"([a-z0-9+.-]+):/{0,3}[^/]+/.+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a version's files lie with us, and the address that says so. ``is_here``: whether we have the run or logged
    model that owns them."""

    owner: str
    folder: str
    location: str
    is_here: bool = True


class Registry:
    """``incomplete``: the runs and logged models whose files are not all here."""

    def __init__(self, source: Source, *, report: Report, is_dry: bool, with_files: bool, incomplete: set[str]) -> None:
        self.source, self.report, self.is_dry = source, report, is_dry
        self.with_files, self.incomplete = with_files, incomplete

    def model(self, theirs: TheirModel) -> None:
        self.report.count("models", there=1)
        try:
            name = check_name(theirs.name)
        except Invalid as error:
            self.report.leave(theirs.name[:100], f"a model whose name is not allowed: {error.message}")
            return
        ours = RegisteredModel.objects.live().filter(name=name).first()
        found = [version for page in self.source.versions(theirs) for version in page]
        versions = [version for version in found if version.stage != DELETED]
        self.report.count("versions", there=len(versions))
        if ours is None:
            self._new_model(theirs, name, versions, highest=max((version.version for version in found), default=0))
        elif self._is_imported(ours):
            self.report.count("models", before=1)
            self._known_model(ours, versions)
        else:
            self.report.leave(name, "a model of that name is here that did not come from this server")

    def _is_imported(self, ours: RegisteredModel) -> bool:
        imported = Event.objects.filter(kind=ModelImported.kind, data__model_id=ours.pk)
        return imported.filter(data__server=self.source.name).exists()

    # -- A model that is here ----------------------------------------------------------------------------------------

    def _known_model(self, ours: RegisteredModel, versions: Sequence[TheirVersion]) -> None:
        """It lives its own life by now: only files that were left behind are added."""
        here = set(ModelVersion.objects.filter(model=ours).values_list("version", flat=True))
        self.report.count("versions", before=sum(version.version in here for version in versions))
        for version in versions:
            if version.version not in here and self._placed(version, ours.is_prompt) is not None:
                why = "a version that was registered there after its model was imported"
                self.report.leave(f"{ours.name} {version.version}", why)
        if self.with_files and not self.is_dry:
            for row in ModelVersion.objects.live().filter(model=ours, digest="").select_related("evidence"):
                self._add_files(ours, row)

    @transaction.atomic
    def _add_files(self, model: RegisteredModel, row: ModelVersion) -> None:
        place = _place(row.storage_location)
        if place is None or not self._take_files(row, place):
            return
        row.save(update_fields=["artifact_owner", "artifact_folder", "digest", "file_count", "total_size"])
        refresh(row)
        jobs.after_commit(settings.EVIDENCE_CHANGED_TASK, model.pk)

    # -- A new model -------------------------------------------------------------------------------------------------

    def _new_model(self, theirs: TheirModel, name: str, versions: Sequence[TheirVersion], *, highest: int) -> None:
        is_prompt = says_prompt(theirs.tags)
        placed = [(version, at) for version in versions if (at := self._placed(version, is_prompt, of=name))]
        self.report.count("models", added=1)
        self.report.count("versions", added=len(placed))
        if self.is_dry:
            return
        with transaction.atomic():
            model = self._write_model(theirs, name, highest=highest)
            rows: list[ModelVersion] = []
            for start in range(0, len(placed), VERSIONS_AT_ONCE):
                rows += self._write_versions(model, placed[start : start + VERSIONS_AT_ONCE])
            self._write_holders(model, theirs, rows)
            self._record(model, rows)

    def _write_model(self, theirs: TheirModel, name: str, *, highest: int) -> RegisteredModel:
        tags = pairs(self.report, theirs.tags, of=name, what="tag", most=MAX_TAG_VALUE)
        return RegisteredModel.objects.create(
            name=name,
            description=text(theirs.description, MAX_DESCRIPTION),
            creation_timestamp=theirs.creation_timestamp,
            last_updated_timestamp=theirs.last_updated_timestamp,
            last_version=highest,
            tags=tags,
            is_prompt=says_prompt(tags),
        )

    def _write_versions(
        self, model: RegisteredModel, placed: Iterable[tuple[TheirVersion, _Place]]
    ) -> list[ModelVersion]:
        rows = [self._version(model, theirs, at) for theirs, at in placed]
        ModelVersion.objects.bulk_create(rows)
        taken = [
            Evidence(version=row, data=data, digest=sha256_json(data))
            for row in rows
            if (data := snapshot(row)) != NOTHING
        ]
        Evidence.objects.bulk_create(taken)
        for evidence in taken:
            evidence.version.evidence = evidence
        ModelVersion.objects.bulk_update([evidence.version for evidence in taken], ["evidence"], batch_size=100)
        metrics = [metric for row in taken for metric in metric_rows(row.version, figures_of(row.data))]
        VersionMetric.objects.bulk_create(metrics, batch_size=METRICS_AT_ONCE)
        Run.objects.filter(run_id__in={row.run_id for row in rows}, has_versions=False).update(has_versions=True)
        return rows

    def _version(self, model: RegisteredModel, theirs: TheirVersion, at: _Place) -> ModelVersion:
        of = f"version {theirs.version} of {model.name}"
        if theirs.user_id:
            self.report.leave(of, "the name of who registered it: it is no account here")
        kept = "models:/" if at.owner else ("models:/", "runs:/")
        row = ModelVersion(
            model=model,
            version=theirs.version,
            current_stage=theirs.stage if theirs.stage in Stage.values else Stage.NONE,
            description=text(theirs.description, MAX_DESCRIPTION),
            creation_timestamp=theirs.creation_timestamp,
            last_updated_timestamp=theirs.last_updated_timestamp,
            source=text(theirs.source, 500) if theirs.source.startswith(kept) else at.location,
            storage_location=at.location,
            run_id=text(theirs.run_id, 32),
            logged_model_id=at.owner if at.owner.startswith("m-") else _logged_model_id(theirs),
            run_link=text(theirs.run_link, 500),
            status=theirs.status if theirs.status in ModelVersion.Status.values else ModelVersion.Status.READY,
            status_message=text(theirs.status_message, 1000),
            tags=pairs(self.report, theirs.tags, of=of, what="tag", most=MAX_TAG_VALUE),
        )
        if at.owner and not self._take_files(row, at):
            self.report.leave(of, "the files of a version: they stay where they are (--artifacts fetches them)")
        return row

    def _take_files(self, row: ModelVersion, at: _Place) -> bool:
        """Give the version its files and their digest, if all of them are here; an unsaved change."""
        if not self.with_files or at.owner in self.incomplete:
            return False
        files = [(relative(file, at.folder), file.size, file.sha256) for file in folder_files(at.owner, at.folder)]
        if not files:
            return False
        row.artifact_owner, row.artifact_folder, row.digest = at.owner, at.folder, tree_digest(files)
        row.file_count, row.total_size = len(files), sum(size for _, size, _ in files)
        return True

    def _write_holders(self, model: RegisteredModel, theirs: TheirModel, rows: Sequence[ModelVersion]) -> None:
        """Who is the latest of each stage, who holds what, and the aliases."""
        latest = {row.current_stage: row for row in sorted(rows, key=lambda row: row.version)}
        LatestVersion.objects.bulk_create(
            LatestVersion(model=model, stage=stage, version=row) for stage, row in latest.items()
        )
        holdings = [
            StageHolding(
                model=model,
                version=row,
                target_kind=TargetKind.STAGE,
                target=row.current_stage,
                since=from_ms(row.last_updated_timestamp),
            )
            for row in rows
            if row.current_stage in HELD_STAGES
        ]
        numbers, since = {row.version: row for row in rows}, from_ms(model.last_updated_timestamp)
        for alias, number in sorted(theirs.aliases.items()):
            try:
                check_alias(alias)
            except Invalid as error:
                self.report.leave(f"{alias[:100]} of {model.name}", f"an alias that is not allowed: {error.message}")
                continue
            if number not in numbers:
                self.report.leave(f"{alias} of {model.name}", "an alias of a version that was not carried over")
                continue
            model.aliases[alias] = number
            kind = TargetKind.ALIAS
            holding = StageHolding(model=model, version=numbers[number], target_kind=kind, target=alias, since=since)
            holdings.append(holding)
        Alias.objects.bulk_create(
            Alias(model=model, name=alias, version=numbers[number], set_at=since)
            for alias, number in model.aliases.items()
        )
        StageHolding.objects.bulk_create(holdings, batch_size=VERSIONS_AT_ONCE)
        model.save(update_fields=["aliases"])

    def _record(self, model: RegisteredModel, rows: Sequence[ModelVersion]) -> None:
        stages: dict[str, list[int]] = {}
        for row in rows:
            if row.current_stage in HELD_STAGES:
                stages.setdefault(row.current_stage, []).append(row.version)
        created = ModelCreated(
            model_name=model.name,
            model_id=model.pk,
            description=model.description,
            tags=model.tags,
            is_prompt=model.is_prompt,
        )
        record(created, actor=None)
        record(
            ModelImported(
                model_name=model.name,
                server=self.source.name,
                model_id=model.pk,
                versions=len(rows),
                stages=stages,
                aliases=model.aliases,
            ),
            actor=None,
        )

    # -- Where files lie ---------------------------------------------------------------------------------------------

    def _placed(self, theirs: TheirVersion, is_prompt: bool, *, of: str = "") -> _Place | None:
        """None for a version that nobody may be sent to; reported, when ``of`` names its model."""
        if is_prompt:
            return _Place("", "", theirs.location if re.fullmatch(r"[\w-]{1,500}", theirs.location) else "")
        place = _place(theirs.location)
        if place is not None and (self.is_dry or place.is_here):
            return place
        location = theirs.location
        remote = _REMOTE.fullmatch(location)
        is_allowed = remote is not None and remote[1].lower() in settings.ALLOWED_SOURCE_SCHEMES
        is_plain = location.isprintable() and ".." not in location.split("/") and len(location) <= 500
        if is_allowed and is_plain:
            return _Place("", "", location)
        if of:
            schemes = ", ".join(settings.ALLOWED_SOURCE_SCHEMES)
            why = f"a version whose files lie neither in a run or logged model that is here, nor in {schemes}"
            self.report.leave(f"{of} {theirs.version} ({location[:150]})", why)
        return None


def _logged_model_id(theirs: TheirVersion) -> str:
    named = theirs.model_id or theirs.source.removeprefix("models:/")
    return named if LOGGED_MODEL_ID.fullmatch(named) else ""


def _place(location: str) -> _Place | None:
    """The folder of ours that stands for theirs, when it is one of a run or logged model."""
    match = _ROOT.fullmatch(location.rstrip("/"))
    if match is None:
        return None
    owner, folder = match["run"] or match["model"], match["path"] or ""
    try:
        clean_path(folder)
    except Invalid:
        return None
    rows = LoggedModel.objects.filter(pk=owner) if match["model"] else Run.objects.filter(pk=owner)
    experiment = rows.values_list("experiment_id", flat=True).first()
    root = f"mlflow-artifacts:/{experiment}/{f'models/{owner}' if match['model'] else owner}/artifacts"
    location = f"{root}/{folder}" if folder else root
    if len(location) > 500:
        return None
    return _Place(owner, folder, location, is_here=experiment is not None)
