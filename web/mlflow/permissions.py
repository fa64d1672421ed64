"""/api/2.0/permissions/registered-models/…: grants, as the Databricks workspace registry has them.

An id is that of a model, or ``root`` for the whole registry: the grants on the pattern ``*``. The group ``admins`` is
always there and cannot be changed; any other group is a team.
"""

from __future__ import annotations

from typing import Any

from accounts.models import ADMINS, EVERY_MODEL, Grant, Level, Team, User
from accounts.permissions import can_administer
from accounts.queries import find_holders, grants_reaching
from accounts.services import change_grants
from core.answers import require
from core.errors import Invalid, NotFound
from registry import services
from registry.models import RegisteredModel
from registry.permissions import can_manage
from registry.queries import get_model_of_id
from web.mlflow.databricks_messages import level_name
from web.mlflow.endpoint import by_method, endpoint
from web.mlflow.messages import Message
from web.mlflow.params import Params, missing
from web.signed_in import SignedInRequest

ROOT = "root"
USER, SERVICE, GROUP = "user_name", "service_principal_name", "group_name"
LEVELS = {level_name(level): level for level in Level if level}
DESCRIPTIONS = {
    Level.READ: "See the model and use its versions.",
    Level.EDIT: "Also write descriptions and tags, and add versions.",
    Level.MANAGE_STAGING_VERSIONS: "Also move versions between stages other than Production.",
    Level.MANAGE_PRODUCTION_VERSIONS: "Also move versions from and to Production.",
    Level.MANAGE: "Everything, who may do what included.",
}
MOST_ENTRIES = 1000


@endpoint("GET")
def show(request: SignedInRequest, params: Params, object_id: str) -> Message:
    return _answer(_model(request, object_id))


@endpoint("GET")
def levels(request: SignedInRequest, params: Params, object_id: str) -> Message:
    _model(request, object_id)
    described = [{"permission_level": name, "description": DESCRIPTIONS[level]} for name, level in LEVELS.items()]
    return {"permission_levels": described}


@endpoint("PUT")
def set_all(request: SignedInRequest, params: Params, object_id: str) -> Message:
    """In place of all direct grants: a creator who leaves himself out loses the model."""
    return _change(request, params, object_id, replace=True)


@endpoint("PATCH")
def set_some(request: SignedInRequest, params: Params, object_id: str) -> Message:
    return _change(request, params, object_id, replace=False)


one = by_method(GET=show, PUT=set_all, PATCH=set_some)


def _model(request: SignedInRequest, object_id: str) -> RegisteredModel | None:
    """None for the whole registry, which is the administrators'."""
    if object_id != ROOT:
        return get_model_of_id(request.user, object_id)
    require(can_administer(request.user))
    return None


def _change(request: SignedInRequest, params: Params, object_id: str, *, replace: bool) -> Message:
    model = _model(request, object_id)
    if model:
        require(can_manage(request.user, model))  # before anything is said of those named
    wanted = _entries(params)
    admins = wanted.pop((GROUP, ADMINS), None)
    if admins not in (None, Level.MANAGE) or (replace and not model and admins is None):
        raise Invalid("cannot change permissions for group admins: administrators manage everything.")
    users, teams = _found(wanted)
    asked = {_holder(named, users, teams): level for named, level in wanted.items()}
    if asked or replace:
        if model:
            services.change_grants(actor=request.user, model=model, levels=asked, replace=replace)
        else:
            change_grants(actor=request.user, levels=asked, replace=replace, pattern=EVERY_MODEL)
    return _answer(model)


def _entries(params: Params) -> dict[tuple[str, str], Level]:
    """By kind and name, the level that each entry of the list asks for."""
    if not params.has("access_control_list"):
        raise missing("access_control_list")
    entries = params.objects("access_control_list")
    if len(entries) > MOST_ENTRIES:
        raise Invalid(f"An access_control_list has at most {MOST_ENTRIES} entries.", field="access_control_list")
    wanted: dict[tuple[str, str], Level] = {}
    for entry in entries:
        named = [(kind, name) for kind in (USER, SERVICE, GROUP) if (name := entry.string(kind))]
        if len(named) != 1:
            raise Invalid(f"{entry.path} must have exactly one of {USER}, {GROUP} and {SERVICE}.")
        level = entry.choice("permission_level", tuple(LEVELS))
        if not level:
            raise missing(entry.name("permission_level"))
        if named[0] in wanted:
            raise Invalid(f"{entry.path} names {named[0][1][:150]} again: give each one level.")
        wanted[named[0]] = LEVELS[level]
    return wanted


def _found(wanted: dict[tuple[str, str], Level]) -> tuple[dict[str, User], dict[str, Team]]:
    return find_holders(
        users=[name for kind, name in wanted if kind != GROUP], teams=[name for kind, name in wanted if kind == GROUP]
    )


def _holder(named: tuple[str, str], users: dict[str, User], teams: dict[str, Team]) -> User | Team:
    kind, name = named
    if kind == GROUP:
        return teams[name]
    if users[name].is_service != (kind == SERVICE):
        raise NotFound(f"There is no {'service account' if kind == SERVICE else 'person'} {name[:150]}.")
    return users[name]


def _answer(model: RegisteredModel | None) -> Message:
    rows = (
        grants_reaching(model_id=model.pk, model_name=model.name)
        if model
        else Grant.objects.filter(pattern=EVERY_MODEL).select_related("user", "team")
    )
    entries: dict[tuple[str, str], Message] = {}
    for grant in rows.order_by("pattern", "-level", "pk")[:MOST_ENTRIES]:  # "" first: those on the model itself
        _entry(entries, grant.holder)["all_permissions"].append(
            _permission(Level(grant.level), inherited=bool(model and grant.pattern))
        )
    admins = entries.setdefault((GROUP, ADMINS), {GROUP: ADMINS, "all_permissions": []})
    admins["all_permissions"].append(_permission(Level.MANAGE, inherited=True))
    return {
        "object_id": f"/registered-models/{model.pk if model else ROOT}",
        "object_type": "registered-model",
        "access_control_list": list(entries.values()),
    }


def _entry(entries: dict[tuple[str, str], Message], holder: User | Team) -> Message:
    if isinstance(holder, Team):
        return entries.setdefault((GROUP, holder.name), {GROUP: holder.name, "all_permissions": []})
    kind = SERVICE if holder.is_service else USER
    shown = {kind: holder.username, "display_name": holder.display_name, "all_permissions": []}
    return entries.setdefault((kind, holder.username), shown)


def _permission(level: Level, *, inherited: bool) -> dict[str, Any]:
    """What a pattern gives, and what administrators have, comes from the whole registry."""
    permission: dict[str, Any] = {"permission_level": level_name(level), "inherited": inherited}
    return permission | ({"inherited_from_object": ["/registered-models/"]} if inherited else {})
