"""Model versions: register, describe, delete."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from core import jobs
from core.answers import require
from core.clock import now, now_ms
from core.digests import tree_digest
from core.errors import Invalid
from core.prepared import PreparedUpdate, insert, save
from notifications.events import record
from registry import gate
from registry.events import VersionCreated, VersionDeleted, VersionUpdated, about_version
from registry.evidence import folder_files, relative, take_first
from registry.gate import Change, ChangeKind
from registry.models import Alias, ModelVersion, RegisteredModel, Stage, says_prompt
from registry.permissions import can_edit, can_manage
from registry.services._rows import (
    check_description,
    check_tag,
    check_unheld,
    end_holdings,
    held_targets,
    lock_model,
    lock_version,
    lock_version_and_ask,
    put_latest,
    refresh_latest,
)
from registry.services.readings import expect_run
from registry.sources import Source, ask_elsewhere, resolve_source, source_of_prompt
from tracking.models import LoggedModel, Run
from tracking.services.logged_models import note_version

SCAN_VERSION = "registry.tasks.scan_version"
_NOTE_RUN = PreparedUpdate(
    lambda run_id: (Run.objects.filter(run_id=run_id, has_versions=False), {"has_versions": True}), str
)


def create_version(
    *,
    actor: User,
    model: RegisteredModel,
    source: str,
    run_id: str = "",
    model_id: str = "",
    run_link: str = "",
    description: str = "",
    tags: dict[str, str] | None = None,
) -> ModelVersion:
    """Register a version: give it the next number, freeze its files, take its digest and its evidence. What only
    another tracking server can say of its source is asked before the transaction, of an actor who may register."""
    check_description(description)
    for key, value in (tags or {}).items():
        check_tag(key, value)
    check_lengths(source=source, run_link=run_link, run_id=run_id)
    is_prompt = model.is_prompt and says_prompt(tags or {})
    is_asked = not is_prompt and can_edit(actor, model)
    outside = ask_elsewhere(source, run_id=run_id, model_id=model_id) if is_asked else None
    with transaction.atomic():
        if is_prompt:
            found = source_of_prompt(source, run_id=run_id)
        else:
            found = resolve_source(actor, source, run_id=run_id, model_id=model_id, outside=outside)
        return _create(actor, model, found, run_link=run_link, description=description, tags=tags or {})


def _create(
    actor: User, model: RegisteredModel, found: Source, *, run_link: str, description: str, tags: dict[str, str]
) -> ModelVersion:
    model = lock_model(model)
    require(can_edit(actor, model))
    gate.enforce(Change(ChangeKind.CREATE_VERSION, actor, model))
    files = _locked_files(found)
    moment = now_ms()
    model.last_version += 1
    model.last_updated_timestamp = moment
    save(model, "last_version", "last_updated_timestamp")
    version = ModelVersion(
        model=model,
        version=model.last_version,
        description=description,
        user=actor,
        creation_timestamp=moment,
        last_updated_timestamp=moment,
        source=found.source,
        storage_location=found.storage_location,
        run_id=found.run_id,
        logged_model_id=found.logged_model_id,
        run_link=run_link,
        artifact_owner=found.owner,
        artifact_folder=found.folder,
        digest=tree_digest(files) if files else "",
        file_count=len(files),
        total_size=sum(size for _, size, _ in files),
        tags=tags,
    )
    insert(version)
    put_latest(model, Stage.NONE, version)
    if found.run_id:
        _NOTE_RUN.run(found.run_id)
    if found.logged_model_id:
        note_version(model_id=found.logged_model_id, name=model.name, version=version.version)
    take_first(version)
    expect_run(version)
    record(
        VersionCreated(
            **about_version(version),
            source=version.source,
            run_id=version.run_id,
            digest=version.digest,
            description=description,
            tags=version.tags,
            is_prompt=model.is_prompt,
        ),
        actor=actor,
    )
    if version.digest:
        jobs.after_commit(SCAN_VERSION, version.pk)
    return version


def check_lengths(**texts: str) -> None:
    for field, limit in (("source", 500), ("run_link", 500), ("run_id", 32)):
        if len(texts[field]) > limit:
            raise Invalid(f"'{field}' has at most {limit} characters, this one {len(texts[field])}.", field=field)


def _locked_files(found: Source) -> list[tuple[str, int, str]]:
    """The files of the version as (path, size, SHA-256), with their run or logged model locked: an upload that is
    under way lands before the digest is taken, or finds its folder frozen."""
    if found.owner.startswith("m-"):
        LoggedModel.objects.select_for_update().filter(model_id=found.owner).first()
    elif found.owner:
        Run.objects.select_for_update().filter(run_id=found.owner).first()
    return [(relative(f, found.folder), f.size, f.sha256) for f in folder_files(found.owner, found.folder)]


@transaction.atomic
def update_version(*, actor: User, version: ModelVersion, description: str) -> ModelVersion:
    kind = ChangeKind.UPDATE_VERSION
    version, answers = lock_version_and_ask(version, *gate.questions(kind, version))
    require(can_edit(actor, version.model))
    gate.enforce(Change(kind, actor, version.model, version, answers=tuple(answers)))
    version.description, version.last_updated_timestamp = check_description(description), now_ms()
    save(version, "description", "last_updated_timestamp")
    record(VersionUpdated(**about_version(version), description=description), actor=actor)
    return version


@transaction.atomic
def delete_version(*, actor: User, version: ModelVersion) -> None:
    """Hide a version; its aliases go, its number never returns."""
    version = lock_version(version)
    model = version.model
    require(can_manage(actor, model))
    check_unheld(version)
    gate.enforce(Change(ChangeKind.DELETE_VERSION, actor, model, version, leaving=held_targets(version)))
    version.deleted_at = now()
    save(version, "deleted_at")
    Alias.objects.filter(version=version).delete()
    end_holdings(version=version)
    refresh_latest(model, {version.current_stage})
    model.aliases = {alias: number for alias, number in model.aliases.items() if number != version.version}
    model.last_updated_timestamp = now_ms()
    save(model, "aliases", "last_updated_timestamp")
    record(VersionDeleted(**about_version(version)), actor=actor)
