"""What the services share: locks, the rows kept beside others, and the rules for names and tags."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.conf import settings

from accounts.models import User
from core.clock import now
from core.errors import InUse, Invalid
from core.keys import check_key
from core.prepared import LookUp, Prepared, PreparedUpdate, put, together, write
from registry.gate import Permit, Target
from registry.models import (
    HELD_STAGES,
    LatestVersion,
    ModelVersion,
    RegisteredModel,
    StageHolding,
    TargetKind,
)
from registry.queries import no_model, no_version

MAX_NAME = 256
MAX_DESCRIPTION = 5000
MAX_COMMENT = 65_535
MAX_TAG_VALUE = 100_000
# Control, bidi and zero-width signs let one name look like another.
_DECEIVING = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


_LOCKED_MODEL = Prepared(lambda pk: RegisteredModel.objects.live().select_for_update().filter(pk=pk), int)
_FRESH_VERSION = Prepared(
    lambda pk: ModelVersion.objects.live().select_related("evidence", "user").filter(pk=pk),
    int,
)


def lock_model(model: RegisteredModel) -> RegisteredModel:
    """The live model row, locked until the transaction ends. Every service starts here, so locks have one order."""
    locked = _LOCKED_MODEL.first(model.pk)
    if locked is None:
        raise no_model(model.name)
    return locked


def lock_version(version: ModelVersion) -> ModelVersion:
    """The live version, its model locked first; read anew, because it may have moved since the caller looked."""
    return lock_version_and_ask(version)[0]


def lock_version_and_ask(version: ModelVersion, *questions: LookUp[Any]) -> tuple[ModelVersion, list[list[Any]]]:
    """The same, and what is to be asked once the model is locked, all in one message."""
    models, versions, *answers = together(_LOCKED_MODEL.of(version.model_id), _FRESH_VERSION.of(version.pk), *questions)
    if not models:
        raise no_model(version.model.name)
    if not versions:
        raise no_version(models[0].name, version.version)
    [fresh] = versions
    fresh.model = models[0]
    return fresh, answers


def check_name(name: str) -> str:
    if not name or not name.strip():
        raise Invalid("Registered model name cannot be empty.", field="name")
    if "/" in name or ":" in name or name in (".", ".."):
        raise Invalid(
            f"Invalid model name: '{name[:100]}'. A registered model name has no '/' or ':' and is not '.' or '..'.",
            field="name",
        )
    if len(name) > MAX_NAME:
        raise Invalid(f"A model name has at most {MAX_NAME} characters, this one {len(name)}.", field="name")
    if _DECEIVING.search(name):
        raise Invalid("A model name may not hold control, direction or zero-width characters.", field="name")
    return name


def check_description(text: str) -> str:
    if len(text) > MAX_DESCRIPTION:
        raise Invalid(
            f"A description has at most {MAX_DESCRIPTION} characters, this one {len(text)}.", field="description"
        )
    _check_storable(text, "A description", field="description")
    return text


def check_comment(text: str) -> str:
    if len(text) > MAX_COMMENT:
        raise Invalid(f"A comment has at most {MAX_COMMENT} characters, this one {len(text)}.", field="comment")
    _check_storable(text, "A comment", field="comment")
    return text


def check_tag(key: str, value: str) -> None:
    check_key(key, "tag")
    if len(value) > MAX_TAG_VALUE:
        raise Invalid(f"The value of tag '{key}' has more than {MAX_TAG_VALUE} characters.", field="value")
    _check_storable(value, "A tag", field="value")


def _check_storable(text: str, what: str, *, field: str) -> None:
    if "\x00" in text:
        raise Invalid(f"{what} holds text only, this one has a NUL character.", field=field)


# A model's row of a stage goes when its version is not there any more ...
_FORGET_LATEST = """
    DELETE FROM registry_latestversion WHERE model_id = %s AND EXISTS (
        SELECT 1 FROM registry_modelversion v WHERE v.id = registry_latestversion.version_id
        AND (v.current_stage <> registry_latestversion.stage OR v.deleted_at IS NOT NULL))"""
# ... and the highest version that is there takes its place.
_FIND_LATEST = """
    INSERT INTO registry_latestversion (model_id, stage, version_id)
    SELECT model_id, current_stage, id FROM registry_modelversion
    WHERE model_id = %s AND current_stage = %s AND deleted_at IS NULL ORDER BY version DESC LIMIT 1
    ON CONFLICT (model_id, stage) DO UPDATE SET version_id = EXCLUDED.version_id"""


def refresh_latest(model: RegisteredModel, stages: set[str]) -> None:
    """Find which version is the latest of these stages, after versions entered or left them."""
    write(_FORGET_LATEST, [model.pk])
    for stage in sorted(stages):
        write(_FIND_LATEST, [model.pk, stage])


def put_latest(model: RegisteredModel, stage: str, version: ModelVersion) -> None:
    put([LatestVersion(model=model, stage=stage, version=version)], unique=["model", "stage"], update=["version"])


def begin_holding(version: ModelVersion, target: Target, actor: User, permit: Permit | None) -> None:
    """Since when, by whom and by which request; a holding that is open goes on."""
    if target.kind == TargetKind.STAGE and target.name not in HELD_STAGES:
        return
    request_id = permit.request_id if permit else None
    holding = StageHolding(
        model=version.model,
        version=version,
        target_kind=target.kind,
        target=target.name,
        set_by=actor,
        request_id=request_id,
    )
    put([holding], unique=["version", "target_kind", "target"], where="until IS NULL")


def end_holdings(**which: Any) -> None:
    """Close the open holdings of these versions or targets."""
    StageHolding.objects.filter(until=None, **which).update(until=now())


_END = PreparedUpdate(
    lambda moment, model, kind, target: (
        StageHolding.objects.filter(until=None, model=model, target_kind=kind, target=target),
        {"until": moment},
    ),
    datetime,
    int,
    str,
    str,
)
_END_OF_VERSION = PreparedUpdate(
    lambda moment, version, kind, target: (
        StageHolding.objects.filter(until=None, version=version, target_kind=kind, target=target),
        {"until": moment},
    ),
    datetime,
    int,
    str,
    str,
)


def end_holding(version: ModelVersion, target: Target) -> None:
    _END_OF_VERSION.run(now(), version.pk, target.kind, target.name)


def end_holdings_of(model: RegisteredModel, target: Target) -> None:
    """Whoever of the model's versions has the stage or alias, has it no more."""
    _END.run(now(), model.pk, target.kind, target.name)


def stage_target(stage: str) -> Target:
    return Target(TargetKind.STAGE, stage)


def alias_target(alias: str) -> Target:
    return Target(TargetKind.ALIAS, alias)


def check_unheld(what: ModelVersion | RegisteredModel) -> None:
    """Where PROTECT_HELD_VERSIONS is set, as on Databricks: what is about to go or to be renamed serves nobody."""
    if not settings.PROTECT_HELD_VERSIONS:
        return
    if isinstance(what, ModelVersion):
        stages, holder = [what.current_stage], f"{what} is"
    else:
        stages = list(LatestVersion.objects.filter(model=what).values_list("stage", flat=True))
        holder = f"A version of {what} is"
    for stage in HELD_STAGES:
        if stage in stages:
            raise InUse(f"{holder} in {stage}. Move it to None or Archived first; nothing was changed.")


def held_targets(version: ModelVersion) -> tuple[Target, ...]:
    """Every stage and alias that a version holds now."""
    stages = (stage_target(version.current_stage),) if version.current_stage in HELD_STAGES else ()
    return stages + tuple(alias_target(alias) for alias in version.aliases)
