"""Every write of the registry asks the gate, in the transaction, before anything is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import transaction
from pytest_django import Settings

from accounts.models import Level, User
from notifications.models import Event
from registry import services
from registry.gate import Change, ChangeKind, GateRefused, Target
from registry.models import ModelVersion, Stage, TargetKind
from tests.factories import make_deployment, make_model, make_version
from tests.registry.conftest import Gate

pytestmark = pytest.mark.django_db

PRODUCTION = Target(TargetKind.STAGE, "Production")
STAGING = Target(TargetKind.STAGE, "Staging")
CHAMPION = Target(TargetKind.ALIAS, "champion")

Write = Callable[[User, ModelVersion], Any]
WRITES: dict[str, tuple[ChangeKind, Write]] = {
    "create_model": (ChangeKind.CREATE_MODEL, lambda actor, v: services.create_model(actor=actor, name="new")),
    "update_model": (
        ChangeKind.UPDATE_MODEL,
        lambda actor, v: services.update_model(actor=actor, model=v.model, description="x"),
    ),
    "rename_model": (
        ChangeKind.RENAME_MODEL,
        lambda actor, v: services.rename_model(actor=actor, model=v.model, new_name="new"),
    ),
    "delete_model": (ChangeKind.DELETE_MODEL, lambda actor, v: services.delete_model(actor=actor, model=v.model)),
    "set_model_tag": (
        ChangeKind.SET_MODEL_TAG,
        lambda actor, v: services.set_model_tag(actor=actor, model=v.model, key="k", value="v"),
    ),
    "delete_model_tag": (
        ChangeKind.DELETE_MODEL_TAG,
        lambda actor, v: services.delete_model_tag(actor=actor, model=v.model, key="tier"),
    ),
    "create_version": (
        ChangeKind.CREATE_VERSION,
        lambda actor, v: services.create_version(actor=actor, model=v.model, source="s3://b/x"),
    ),
    "update_version": (
        ChangeKind.UPDATE_VERSION,
        lambda actor, v: services.update_version(actor=actor, version=v, description="x"),
    ),
    "delete_version": (ChangeKind.DELETE_VERSION, lambda actor, v: services.delete_version(actor=actor, version=v)),
    "set_version_tag": (
        ChangeKind.SET_VERSION_TAG,
        lambda actor, v: services.set_version_tag(actor=actor, version=v, key="k", value="v"),
    ),
    "delete_version_tag": (
        ChangeKind.DELETE_VERSION_TAG,
        lambda actor, v: services.delete_version_tag(actor=actor, version=v, key="a"),
    ),
    "move_to_stage": (
        ChangeKind.MOVE_STAGE,
        lambda actor, v: services.move_to_stage(actor=actor, version=v, stage=Stage.PRODUCTION),
    ),
    "set_alias": (ChangeKind.SET_ALIAS, lambda actor, v: services.set_alias(actor=actor, version=v, alias="other")),
    "delete_alias": (
        ChangeKind.DELETE_ALIAS,
        lambda actor, v: services.delete_alias(actor=actor, model=v.model, alias="champion"),
    ),
    "change_grants": (
        ChangeKind.CHANGE_GRANTS,
        lambda actor, v: services.change_grants(actor=actor, model=v.model, levels={actor: Level.READ}),
    ),
    "report_deployment": (
        ChangeKind.REPORT_DEPLOYMENT,
        lambda actor, v: services.report_deployment(actor=actor, version=v, name="eu-west"),
    ),
    "delete_deployment": (
        ChangeKind.DELETE_DEPLOYMENT,
        lambda actor, v: services.delete_deployment(actor=actor, model=v.model, name="eu-west"),
    ),
    "read_run_again": (ChangeKind.READ_RUN, lambda actor, v: services.read_run_again(actor=actor, version=v)),
}


@pytest.fixture
def version(db: None, settings: Settings) -> ModelVersion:
    """It holds all that a write may take away, and its run lies on another tracking server."""
    settings.EXTERNAL_TRACKING_URI = "http://127.0.0.1:9"
    version = make_version(
        make_model("churn", tags={"tier": "critical"}),
        stage="Staging",
        aliases=["champion"],
        tags={"a": "1"},
        run_id="f" * 32,
        files={},
    )
    make_deployment(version, "eu-west", status="deploying")
    return version


def snapshot() -> dict[str, list[dict[str, Any]]]:
    """Every row of the rooms that a registry write may touch."""
    tables = [
        model
        for label in ("registry", "notifications", "accounts")
        for model in apps.get_app_config(label).get_models()
    ]
    return {table._meta.label: list(table.objects.order_by("pk").values()) for table in tables}


def test_every_service_is_in_the_list_above_with_a_kind_of_its_own() -> None:
    assert set(WRITES) == set(services.__all__)
    assert {kind for kind, _ in WRITES.values()} == set(ChangeKind)


@pytest.mark.parametrize("name", WRITES)
def test_every_write_asks_once_and_names_actor_and_model(
    name: str, version: ModelVersion, manager: User, the_gate: Gate
) -> None:
    kind, write = WRITES[name]

    write(manager, version)

    [asked] = the_gate.asked
    assert (asked.kind, asked.actor) == (kind, manager)
    assert name == "create_model" or asked.model == version.model
    assert Event.objects.get().actor == manager


@pytest.mark.parametrize("name", WRITES)
def test_a_refused_write_changes_nothing(name: str, version: ModelVersion, manager: User, the_gate: Gate) -> None:
    the_gate.is_closed = True
    before = snapshot()

    with pytest.raises(GateRefused), transaction.atomic():
        WRITES[name][1](manager, version)

    assert snapshot() == before


def change_of(the_gate: Gate) -> Change:
    [asked] = the_gate.asked
    return asked


def test_a_move_names_what_is_entered_left_and_replaced(version: ModelVersion, manager: User, the_gate: Gate) -> None:
    holder = make_version(version.model, stage="Production")

    services.move_to_stage(actor=manager, version=version, stage=Stage.PRODUCTION, archive_existing=True)

    asked = change_of(the_gate)
    assert (asked.version, asked.entering, asked.leaving, asked.replaces) == (
        version,
        PRODUCTION,
        (STAGING,),
        (holder,),
    )


def test_replacing_the_others_of_its_own_stage_is_asked_as_entering_it(manager: User, the_gate: Gate) -> None:
    model = make_model()
    other = make_version(model, stage="Production")
    version = make_version(model, stage="Production")

    services.move_to_stage(actor=manager, version=version, stage=Stage.PRODUCTION, archive_existing=True)

    asked = change_of(the_gate)
    assert (asked.entering, asked.leaving, asked.replaces) == (PRODUCTION, (), (other,))


def test_an_alias_names_whom_it_is_taken_from(version: ModelVersion, manager: User, the_gate: Gate) -> None:
    other = make_version(version.model)

    services.set_alias(actor=manager, version=other, alias="champion")

    asked = change_of(the_gate)
    assert (asked.version, asked.entering, asked.replaces) == (other, CHAMPION, (version,))


def test_deleting_an_alias_leaves_it(version: ModelVersion, manager: User, the_gate: Gate) -> None:
    services.delete_alias(actor=manager, model=version.model, alias="champion")

    assert change_of(the_gate).leaving == (CHAMPION,)


def test_deleting_a_version_or_its_model_leaves_all_they_hold(
    version: ModelVersion, manager: User, the_gate: Gate
) -> None:
    services.delete_version(actor=manager, version=version)
    assert set(the_gate.asked.pop().leaving) == {STAGING, CHAMPION}

    make_version("churn", stage="Production", aliases=["live"])
    services.delete_model(actor=manager, model=version.model)
    assert set(the_gate.asked.pop().leaving) == {PRODUCTION, Target(TargetKind.ALIAS, "live")}


def test_a_rename_names_the_new_name_and_a_tag_its_key(version: ModelVersion, manager: User, the_gate: Gate) -> None:
    services.rename_model(actor=manager, model=version.model, new_name="churn-live")
    services.delete_model_tag(actor=manager, model=version.model, key="tier")

    assert [(asked.new_name, asked.key) for asked in the_gate.asked] == [("churn-live", ""), ("", "tier")]
