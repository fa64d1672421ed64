"""Moving versions between stages: who holds what afterwards, and which clocks moved."""

from __future__ import annotations

import pytest

from accounts.models import User
from core.errors import Invalid, NotFound, NotPermitted
from notifications.models import Event
from registry import services
from registry.gate import Permit, Target
from registry.models import LatestVersion, ModelVersion, RegisteredModel, Stage, StageHolding, TargetKind
from registry.queries import canonical_stage, holder
from tests.factories import make_model, make_version

pytestmark = pytest.mark.django_db

PRODUCTION = Target(TargetKind.STAGE, "Production")


def stages(model: RegisteredModel) -> dict[int, str]:
    return dict(ModelVersion.objects.filter(model=model).values_list("version", "current_stage"))


def latest(model: RegisteredModel) -> dict[str, int]:
    return dict(LatestVersion.objects.filter(model=model).values_list("stage", "version__version"))


def test_moving_with_archive_replaces_every_other_holder(mover: User) -> None:
    model = make_model()
    for stage in ("Production", "Production", "Staging", "None"):
        version = make_version(model, stage=stage)

    moved = services.move_to_stage(actor=mover, version=version, stage=Stage.PRODUCTION, archive_existing=True)

    assert stages(model) == {1: "Archived", 2: "Archived", 3: "Staging", 4: "Production"}
    assert latest(model) == {"Archived": 2, "Staging": 3, "Production": 4}
    archived = ModelVersion.objects.get(model=model, version=1)
    assert archived.last_updated_timestamp == moved.last_updated_timestamp
    assert moved.model.last_updated_timestamp == moved.last_updated_timestamp


def test_moving_without_archive_lets_several_hold_a_stage(mover: User) -> None:
    model = make_model()
    first, second = make_version(model, stage="Production"), make_version(model)

    services.move_to_stage(actor=mover, version=second, stage=Stage.PRODUCTION)

    assert stages(model) == {1: "Production", 2: "Production"}
    assert holder(model, PRODUCTION) == second
    services.move_to_stage(actor=mover, version=second, stage=Stage.NONE)
    assert holder(model, PRODUCTION) == first
    assert latest(model) == {"None": 2, "Production": 1}


def test_the_latest_of_a_stage_is_the_highest_number_not_the_newest_move(mover: User) -> None:
    model = make_model()
    first, second = make_version(model), make_version(model)

    services.move_to_stage(actor=mover, version=second, stage=Stage.STAGING)
    services.move_to_stage(actor=mover, version=first, stage=Stage.STAGING)

    assert latest(model) == {"Staging": 2}


@pytest.mark.parametrize("stage", [Stage.NONE, Stage.ARCHIVED])
def test_only_active_stages_archive_their_holders(mover: User, stage: Stage) -> None:
    version = make_version(stage="Staging")

    with pytest.raises(Invalid, match=r"is not an Active stage\. Valid stages are"):
        services.move_to_stage(actor=mover, version=version, stage=stage, archive_existing=True)
    assert stages(version.model) == {1: "Staging"}


@pytest.mark.parametrize("text", ["production", "PRODUCTION", "Production", "pRoDuCtIoN"])
def test_stages_are_read_in_any_letter_case(text: str) -> None:
    assert canonical_stage(text) is Stage.PRODUCTION


@pytest.mark.parametrize("text", ["", " Production", "Production ", "Prod", "ſtaging", "Staging\x00"])
def test_other_stages_do_not_exist(text: str) -> None:
    with pytest.raises(Invalid, match="Value must be one of None, Staging, Production, Archived"):
        canonical_stage(text)


@pytest.mark.parametrize(
    ("before", "after"), [("None", "Production"), ("Production", "None"), ("Production", "Production")]
)
def test_production_in_or_out_needs_its_own_level(stager: User, mover: User, before: str, after: str) -> None:
    version = make_version(stage=before)

    with pytest.raises(NotPermitted, match="MANAGE_PRODUCTION_VERSIONS"):
        services.move_to_stage(actor=stager, version=version, stage=Stage(after))
    assert services.move_to_stage(actor=mover, version=version, stage=Stage(after)).current_stage == after


def test_other_stages_need_the_staging_level(editor: User, stager: User) -> None:
    version = make_version()

    with pytest.raises(NotPermitted, match="MANAGE_STAGING_VERSIONS"):
        services.move_to_stage(actor=editor, version=version, stage=Stage.STAGING)
    services.move_to_stage(actor=stager, version=version, stage=Stage.STAGING)


def test_the_level_is_asked_for_the_stage_now_not_for_the_one_the_caller_saw(stager: User, mover: User) -> None:
    seen = make_version()
    services.move_to_stage(actor=mover, version=seen, stage=Stage.PRODUCTION)

    with pytest.raises(NotPermitted, match="MANAGE_PRODUCTION_VERSIONS"):
        services.move_to_stage(actor=stager, version=seen, stage=Stage.STAGING)


def test_a_permit_stands_for_the_level_and_is_kept_with_the_holding(reader: User) -> None:
    version = make_version()

    services.move_to_stage(actor=reader, version=version, stage=Stage.PRODUCTION, permit=Permit(7))

    holding = StageHolding.objects.get()
    assert (holding.target, holding.set_by, holding.request_id, holding.until) == ("Production", reader, 7, None)
    assert not Event.objects.exists(), "who holds the permit announces the result"


def test_holdings_open_and_close_with_the_moves(mover: User) -> None:
    model = make_model()
    first, second = make_version(model), make_version(model)

    services.move_to_stage(actor=mover, version=first, stage=Stage.STAGING)
    services.move_to_stage(actor=mover, version=first, stage=Stage.PRODUCTION)
    services.move_to_stage(actor=mover, version=second, stage=Stage.PRODUCTION, archive_existing=True)

    open_ones = StageHolding.objects.filter(until=None).values_list("version__version", "target")
    assert list(open_ones) == [(2, "Production")]
    closed = StageHolding.objects.exclude(until=None).order_by("id").values_list("version__version", "target")
    assert list(closed) == [(1, "Staging"), (1, "Production")]


def test_moving_to_where_it_is_keeps_one_open_holding(mover: User) -> None:
    version = make_version(stage="Production")

    services.move_to_stage(actor=mover, version=version, stage=Stage.PRODUCTION, archive_existing=True)

    assert StageHolding.objects.filter(until=None).count() == 1
    assert stages(version.model) == {1: "Production"}


def test_a_direct_move_is_announced_with_what_it_replaced(mover: User) -> None:
    model = make_model("churn")
    make_version(model, stage="Production")
    second = make_version(model, stage="Staging")

    services.move_to_stage(actor=mover, version=second, stage=Stage.PRODUCTION, archive_existing=True)

    event = Event.objects.get()
    assert event.kind == "transition.applied" and event.actor == mover and event.version == 2
    assert event.data["from_stage"] == "Staging" and event.data["archived_versions"] == [1]


def test_a_deleted_version_moves_nowhere_and_archives_nothing(manager: User) -> None:
    model = make_model()
    make_version(model, stage="Production")
    gone = make_version(model)
    services.delete_version(actor=manager, version=gone)

    with pytest.raises(NotFound, match=r"Model Version \(name=.*, version=2\) not found"):
        services.move_to_stage(actor=manager, version=gone, stage=Stage.PRODUCTION, archive_existing=True)
    assert stages(model)[1] == "Production"


def test_what_was_said_with_a_move_is_kept_with_it(mover: User) -> None:
    version = make_version()

    services.move_to_stage(actor=mover, version=version, stage=Stage.STAGING, comment="For the shadow test.")
    with pytest.raises(Invalid, match="65535 characters"):
        services.move_to_stage(actor=mover, version=version, stage=Stage.NONE, comment="x" * 65_536)

    assert [event.data["comment"] for event in Event.objects.filter(kind="transition.applied")] == [
        "For the shadow test."
    ]
