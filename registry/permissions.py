"""Who may do what with a model: levels as in the Databricks workspace registry ("Share MLflow Models" in its docs).

The gate comes after this: a level opens a door, a policy may still guard what is behind it.
"""

from __future__ import annotations

from django.conf import settings

from accounts.models import Level, User
from accounts.permissions import can_reach, default_level, is_unlimited, level_on
from core.answers import YES, Answer, no
from notifications.services import can_manage_channels
from registry import elsewhere
from registry.gate import Target
from registry.models import ModelVersion, RegisteredModel, Stage, TargetKind


def level_of(user: User, model: RegisteredModel) -> Level:
    return level_on(user, model_id=model.pk, model_name=model.name)


def _at_least(user: User, model: RegisteredModel, level: Level, what: str) -> Answer:
    if (
        user.is_active and default_level() >= level and is_unlimited(user)
    ):  # grants need not be read for what everybody has
        return YES
    if level_of(user, model) >= level:
        return YES
    if not (answer := can_reach(user, model.name)):
        return answer
    return no(f"{what} needs the level {level.name} on {model.name}. Who manages the model can grant it.")


def can_create_model(user: User, name: str) -> Answer:
    if not (answer := can_reach(user, name)):
        return answer
    if settings.ANYONE_MAY_CREATE_MODELS or user.is_superuser:
        return YES
    return no("Only administrators create models here. Ask one to create it and to grant you EDIT.")


def can_read(user: User, model: RegisteredModel) -> Answer:
    return _at_least(user, model, Level.READ, "Reading")


def can_edit(user: User, model: RegisteredModel) -> Answer:
    """Add versions, write descriptions and tags."""
    return _at_least(user, model, Level.EDIT, "This")


def can_manage(user: User, model: RegisteredModel) -> Answer:
    """Rename, delete, grant."""
    return _at_least(user, model, Level.MANAGE, "This")


def can_manage_webhooks(user: User, model: RegisteredModel | None) -> Answer:
    """Of one model, or of the whole registry."""
    return can_manage(user, model) if model else can_manage_channels(user)


def can_read_again(user: User, version: ModelVersion) -> Answer:
    """Have its run read from the other tracking server."""
    return can_edit(user, version.model) if elsewhere.is_configured() else no(elsewhere.NOT_CONFIGURED)


def level_to_move(version: ModelVersion, target: Target) -> Level:
    """An alias is a pointer that services load by: like a stage other than Production, unless the version it would
    leave or enter is in Production."""
    stages = {version.current_stage, target.name if target.kind == TargetKind.STAGE else version.current_stage}
    return Level.MANAGE_PRODUCTION_VERSIONS if Stage.PRODUCTION in stages else Level.MANAGE_STAGING_VERSIONS


def can_move(user: User, version: ModelVersion, target: Target) -> Answer:
    """Move at once, without a request."""
    level = level_to_move(version, target)
    return _at_least(user, version.model, level, f"Moving version {version.version} to {target} without a request")
