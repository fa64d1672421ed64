"""Moving a version to a stage: the one function that every door and every applied request goes through."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from core.answers import require
from core.clock import now_ms
from core.errors import Invalid
from core.prepared import Prepared, save
from notifications.events import record
from registry import gate
from registry.events import StageMoved, about_version
from registry.gate import Change, ChangeKind, Permit
from registry.models import HELD_STAGES, ModelVersion, Stage
from registry.permissions import can_move
from registry.services._rows import (
    begin_holding,
    check_comment,
    end_holding,
    lock_version_and_ask,
    refresh_latest,
    stage_target,
)

_IN_STAGE = Prepared(
    lambda model, stage: ModelVersion.objects.live().filter(model=model, current_stage=stage).order_by("-version"),
    int,
    str,
)


@transaction.atomic
def move_to_stage(
    *,
    actor: User,
    version: ModelVersion,
    stage: Stage,
    archive_existing: bool = False,
    comment: str = "",
    permit: Permit | None = None,
) -> ModelVersion:
    """Move a version; with ``archive_existing`` the other holders of the stage become Archived in the same moment.

    Without a permit the actor's level is asked, and ``comment`` is kept with the event; with one the gate verifies the
    request that it names, and who holds the permit announces the result.
    """
    comment = check_comment(comment)
    if archive_existing and stage not in HELD_STAGES:
        raise Invalid(
            f"Model version transition cannot archive existing model versions because '{stage}' is not an Active "
            "stage. Valid stages are ['Staging', 'Production']",
            field="archive_existing_versions",
        )
    others = [_IN_STAGE.of(version.model_id, stage)] if archive_existing else []
    version, found = lock_version_and_ask(version, *others, *gate.questions(ChangeKind.MOVE_STAGE, version))
    holding, answers = found[: len(others)], found[len(others) :]
    model, target, origin = version.model, stage_target(stage), version.current_stage
    if permit is None:
        require(can_move(actor, version, target))
    replaced = [other for rows in holding for other in rows if other.pk != version.pk]
    leaving = (stage_target(origin),) if origin != stage and origin != Stage.NONE else ()
    entering = target if origin != stage or replaced else None
    gate.enforce(
        Change(
            ChangeKind.MOVE_STAGE, actor, model, version,
            entering=entering, leaving=leaving, replaces=tuple(replaced), permit=permit, answers=tuple(answers),
        )
    )  # fmt: skip
    moment = now_ms()
    for other in replaced:
        other.current_stage, other.last_updated_timestamp = Stage.ARCHIVED, moment
        save(other, "current_stage", "last_updated_timestamp")
        end_holding(other, target)
    if origin in HELD_STAGES and origin != stage:
        end_holding(version, stage_target(origin))
    version.current_stage, version.last_updated_timestamp = stage, moment
    save(version, "current_stage", "last_updated_timestamp")
    begin_holding(version, target, actor, permit)
    refresh_latest(model, {origin, stage} | ({Stage.ARCHIVED} if replaced else set()))
    model.last_updated_timestamp = moment
    save(model, "last_updated_timestamp")
    if permit is None and entering is not None:
        record(_moved(version, origin, replaced, comment), actor=actor)
    return version


def _moved(version: ModelVersion, origin: str, replaced: list[ModelVersion], comment: str) -> StageMoved:
    return StageMoved(
        **about_version(version),
        from_stage=origin,
        to_stage=version.current_stage,
        digest=version.digest,
        source=version.source,
        run_id=version.run_id,
        archived_versions=tuple(other.version for other in replaced),
        comment=comment,
    )
