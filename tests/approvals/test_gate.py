"""What the gate lets through and what it refuses, asked through the registry's services as every door does."""

from __future__ import annotations

import pytest

from accounts.models import User
from approvals import services
from approvals.models import Policy, PolicyRevision, TransitionRequest
from core.errors import Conflict, NotPermitted
from notifications.models import Event
from registry import services as registry
from registry.gate import GateRefused, Permit
from registry.models import ModelVersion, RegisteredModel, StageHolding
from tests.approvals.conftest import ARCHIVED, CHAMPION, POLICY, PRODUCTION, STAGING, approve, publish, stage_of
from tests.factories import make_model, make_version

State = TransitionRequest.State


def test_without_a_policy_who_may_move_moves_at_once(version: ModelVersion, mira: User, admin: User) -> None:
    registry.move_to_stage(actor=admin, version=version, stage="Production")

    assert stage_of(version) == "Production"


def test_a_guarded_stage_is_not_entered_directly_not_even_by_an_administrator(
    guarded: ModelVersion, admin: User
) -> None:
    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=guarded, stage="Production")

    assert stage_of(guarded) == "None"


def test_a_guarded_alias_is_not_set_directly(guarded: ModelVersion, admin: User) -> None:
    with pytest.raises(GateRefused):
        registry.set_alias(actor=admin, version=guarded, alias="champion")

    assert RegisteredModel.objects.get().aliases == {}


def test_an_unguarded_stage_and_alias_stay_free(guarded: ModelVersion, admin: User) -> None:
    registry.move_to_stage(actor=admin, version=guarded, stage="Staging")
    registry.set_alias(actor=admin, version=guarded, alias="candidate")

    assert stage_of(guarded) == "Staging"


def test_a_model_that_no_policy_matches_stays_free(guarded: ModelVersion, admin: User) -> None:
    other = make_version("pricing", user=admin)

    registry.move_to_stage(actor=admin, version=other, stage="Production")

    assert stage_of(other) == "Production"


def test_the_refusal_names_what_is_unmet_who_can_clear_it_and_where_to_ask(
    guarded: ModelVersion, admin: User, alice: User, dkim: User, settings: pytest.FixtureRequest
) -> None:
    with pytest.raises(GateRefused) as refused:
        registry.move_to_stage(actor=admin, version=guarded, stage="Production")

    message = refused.value.message
    assert "production-gate" in message
    assert "approval" in message
    assert "alice" in message and "dkim" in message
    assert (
        f"http://127.0.0.1:8080/models/churn-predictor/versions/{guarded.version}/request/?target=Production" in message
    )
    assert refused.value.unmet
    assert not refused.value.open_request


def test_the_refusal_names_a_metric_that_is_too_low(model: RegisteredModel, admin: User) -> None:
    publish()
    weak = make_version(model, user=admin, metrics={"accuracy": 0.5, "f1": 0.9})

    with pytest.raises(GateRefused) as refused:
        registry.move_to_stage(actor=admin, version=weak, stage="Production")

    assert "accuracy" in refused.value.message and "f1" not in " ".join(refused.value.unmet)


def test_the_refusal_leads_to_a_request_that_is_pending(asked: TransitionRequest, admin: User) -> None:
    with pytest.raises(GateRefused) as refused:
        registry.move_to_stage(actor=admin, version=asked.version, stage="Production")

    assert f"/requests/{asked.pk}/" in refused.value.message


def test_a_made_up_permit_opens_nothing(guarded: ModelVersion, admin: User) -> None:
    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=guarded, stage="Production", permit=Permit(12345))

    assert stage_of(guarded) == "None"


def test_the_permit_of_an_unsatisfied_request_opens_nothing(asked: TransitionRequest, admin: User) -> None:
    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=asked.version, stage="Production", permit=Permit(asked.pk))

    assert stage_of(asked.version) == "None"


def test_the_permit_of_another_version_opens_nothing(
    asked: TransitionRequest, alice: User, dkim: User, model: RegisteredModel, admin: User
) -> None:
    other = make_version(model, user=admin, metrics={"accuracy": 0.99, "f1": 0.99})
    approve(alice, asked)

    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=other, stage="Production", permit=Permit(asked.pk))

    assert stage_of(other) == "None"


def test_the_permit_for_a_stage_opens_no_alias(asked: TransitionRequest, admin: User) -> None:
    with pytest.raises(GateRefused):
        registry.set_alias(actor=admin, version=asked.version, alias="champion", permit=Permit(asked.pk))


def test_the_permit_of_a_carried_out_request_works_once(
    asked: TransitionRequest, alice: User, dkim: User, admin: User
) -> None:
    approve(alice, asked)
    approve(dkim, asked)
    ModelVersion.objects.filter(pk=asked.version_id).update(current_stage="Archived")

    with pytest.raises(Conflict, match="already applied"):
        registry.move_to_stage(actor=admin, version=asked.version, stage="Production", permit=Permit(asked.pk))


def test_a_permit_on_an_unguarded_target_needs_an_approval_as_well(version: ModelVersion, sam: User) -> None:
    request = services.open_request(actor=sam, version=version, target=STAGING)

    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=sam, version=version, stage="Staging", permit=Permit(request.pk))

    assert stage_of(version) == "None"


def test_a_permit_covers_no_other_kind_of_change(version: ModelVersion, sam: User, admin: User) -> None:
    registry.set_alias(actor=admin, version=version, alias="candidate")
    request = services.open_request(actor=sam, version=version, target=CHAMPION)

    with pytest.raises(GateRefused):
        registry.delete_alias(actor=sam, model=version.model, alias="candidate", permit=Permit(request.pk))

    assert "candidate" in RegisteredModel.objects.get().aliases


# -- Leaving -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["Archived", "None", "Staging"])
def test_the_holder_of_a_guarded_stage_does_not_leave_it_directly(
    guarded: ModelVersion, holder: ModelVersion, admin: User, stage: str
) -> None:
    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=holder, stage=stage)

    assert stage_of(holder) == "Production"


def test_leaving_asks_for_reviews_and_not_for_metrics(
    model: RegisteredModel, mira: User, alice: User, dkim: User
) -> None:
    weak = make_version(model, stage="Production", user=mira, metrics={"accuracy": 0.1})
    publish()
    request = services.open_request(actor=mira, version=weak, target=ARCHIVED)

    approve(alice, request)
    approve(dkim, request)

    assert stage_of(weak) == "Archived"


def test_the_holder_of_a_guarded_stage_is_not_deleted(guarded: ModelVersion, holder: ModelVersion, admin: User) -> None:
    with pytest.raises(GateRefused, match="Production"):
        registry.delete_version(actor=admin, version=holder)

    assert ModelVersion.objects.get(pk=holder.pk).deleted_at is None


def test_the_holder_of_a_guarded_alias_is_not_deleted(model: RegisteredModel, admin: User) -> None:
    champion = make_version(model, aliases=["champion"], user=admin)
    publish()

    with pytest.raises(GateRefused, match="champion"):
        registry.delete_version(actor=admin, version=champion)


def test_a_guarded_alias_is_not_deleted(model: RegisteredModel, admin: User) -> None:
    make_version(model, aliases=["champion"], user=admin)
    publish()

    with pytest.raises(GateRefused, match="champion"):
        registry.delete_alias(actor=admin, model=model, alias="champion")

    assert "champion" in RegisteredModel.objects.get(pk=model.pk).aliases


def test_a_model_with_a_holder_of_a_guarded_stage_is_not_deleted(guarded: ModelVersion, admin: User) -> None:
    with pytest.raises(GateRefused, match="Production"):
        registry.delete_model(actor=admin, model=guarded.model)

    assert RegisteredModel.objects.get(pk=guarded.model_id).deleted_at is None


def test_what_holds_nothing_guarded_is_deleted(guarded: ModelVersion, admin: User) -> None:
    registry.delete_version(actor=admin, version=guarded)

    assert ModelVersion.objects.get(pk=guarded.pk).deleted_at is not None


# -- Names and tags ----------------------------------------------------------------------------------------------------


def test_a_rename_does_not_lose_a_policy(guarded: ModelVersion, admin: User) -> None:
    with pytest.raises(GateRefused, match="production-gate"):
        registry.rename_model(actor=admin, model=guarded.model, new_name="harmless")

    assert RegisteredModel.objects.get(pk=guarded.model_id).name == "churn-predictor"


def test_a_rename_does_not_carry_an_unreviewed_holder_under_a_policy(guarded: ModelVersion, admin: User) -> None:
    sneaky = make_version("pricing", stage="Production", user=admin)

    with pytest.raises(GateRefused, match="Production"):
        registry.rename_model(actor=admin, model=sneaky.model, new_name="churn-two")


def test_a_rename_under_a_policy_is_fine_while_nothing_guarded_is_held(guarded: ModelVersion, admin: User) -> None:
    idle = make_version("pricing", user=admin)

    registry.rename_model(actor=admin, model=idle.model, new_name="churn-two")

    assert RegisteredModel.objects.get(pk=idle.model_id).name == "churn-two"


def test_a_rename_that_keeps_its_policies_is_fine(guarded: ModelVersion, admin: User) -> None:
    registry.rename_model(actor=admin, model=guarded.model, new_name="churn-predictor-eu")

    assert RegisteredModel.objects.get(pk=guarded.model_id).name == "churn-predictor-eu"


def test_a_tag_that_decides_over_policies_is_for_administrators(
    model: RegisteredModel, mira: User, admin: User
) -> None:
    publish(POLICY.replace('models: ["churn-*"]', 'models: ["*"]\n  tags: {tier: critical}'))

    with pytest.raises(GateRefused, match="tier"):
        registry.set_model_tag(actor=mira, model=model, key="tier", value="toy")
    with pytest.raises(GateRefused, match="tier"):
        registry.delete_model_tag(actor=mira, model=model, key="tier")
    registry.set_model_tag(actor=mira, model=model, key="owner", value="mira")
    registry.set_model_tag(actor=admin, model=model, key="tier", value="critical")

    assert RegisteredModel.objects.get(pk=model.pk).tags == {"owner": "mira", "tier": "critical"}


def test_a_policy_matches_by_tag(model: RegisteredModel, version: ModelVersion, admin: User) -> None:
    publish(POLICY.replace('models: ["churn-*"]', 'models: ["*"]\n  tags: {tier: critical}'))
    registry.set_model_tag(actor=admin, model=model, key="tier", value="critical")

    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=version, stage="Production")


# -- How strict --------------------------------------------------------------------------------------------------------


def test_a_policy_that_warns_lets_through_and_leaves_an_event(version: ModelVersion, admin: User) -> None:
    publish(enforcement="warn")

    registry.move_to_stage(actor=admin, version=version, stage="Production")

    assert stage_of(version) == "Production"
    warned = Event.objects.get(kind="policy.warned")
    assert warned.actor == admin and warned.data["unmet"]


def test_a_policy_in_the_shadow_lets_through_in_silence(version: ModelVersion, admin: User) -> None:
    publish(enforcement="shadow")

    registry.move_to_stage(actor=admin, version=version, stage="Production")

    assert stage_of(version) == "Production"
    assert not Event.objects.filter(kind="policy.warned").exists()


def test_a_policy_that_warns_lets_a_deletion_through_and_leaves_an_event(
    version: ModelVersion, holder: ModelVersion, admin: User
) -> None:
    publish(enforcement="warn")

    registry.delete_version(actor=admin, version=holder)

    assert "Production" in Event.objects.get(kind="policy.warned").data["unmet"][0]


METRICS_ONLY = """\
name: production-gate
match: {models: ["churn-*"]}
guards: [stage:Production]
requirements:
  - metric: {name: accuracy, min: 0.90}
"""


def test_a_satisfied_change_goes_through_where_the_policy_says_so(version: ModelVersion, admin: User) -> None:
    publish(METRICS_ONLY, on_direct_change="allow_if_satisfied")

    registry.move_to_stage(actor=admin, version=version, stage="Production")

    assert stage_of(version) == "Production"


def test_an_unsatisfied_change_is_refused_also_where_satisfied_ones_go_through(
    model: RegisteredModel, admin: User
) -> None:
    publish(METRICS_ONLY, on_direct_change="allow_if_satisfied")
    weak = make_version(model, user=admin, metrics={"accuracy": 0.2})

    with pytest.raises(GateRefused) as refused:
        registry.move_to_stage(actor=admin, version=weak, stage="Production")

    assert not refused.value.open_request


def test_a_missing_metric_is_never_good_enough(model: RegisteredModel, admin: User) -> None:
    publish(METRICS_ONLY, on_direct_change="allow_if_satisfied")
    silent = make_version(model, user=admin)

    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=silent, stage="Production")


def test_satisfied_is_not_enough_where_the_policy_refuses_direct_moves(version: ModelVersion, admin: User) -> None:
    publish(METRICS_ONLY)

    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=version, stage="Production")


def test_a_satisfied_change_still_needs_the_right_to_move(version: ModelVersion, sam: User) -> None:
    publish(METRICS_ONLY, on_direct_change="allow_if_satisfied")

    with pytest.raises(NotPermitted):
        registry.move_to_stage(actor=sam, version=version, stage="Production")


def test_all_policies_on_a_target_must_hold(version: ModelVersion, admin: User) -> None:
    publish(METRICS_ONLY, on_direct_change="allow_if_satisfied")
    publish(
        METRICS_ONLY.replace("production-gate", "second").replace("0.90", "0.99"), on_direct_change="allow_if_satisfied"
    )

    with pytest.raises(GateRefused, match="second"):
        registry.move_to_stage(actor=admin, version=version, stage="Production")


def test_a_refused_move_opens_a_request_where_the_policy_says_so(version: ModelVersion, admin: User) -> None:
    publish(on_direct_change="open_request")

    with pytest.raises(GateRefused) as refused:
        registry.move_to_stage(actor=admin, version=version, stage="Production", archive_existing=True)

    assert refused.value.open_request
    assert not TransitionRequest.objects.exists()


def test_an_unreadable_policy_blocks_and_says_so(guarded: ModelVersion, admin: User) -> None:
    PolicyRevision.objects.update(text="name: production-gate\nguards: [[[")

    with pytest.raises(GateRefused) as refused:
        registry.move_to_stage(actor=admin, version=guarded, stage="Production")

    assert "cannot be read" in refused.value.message


def test_an_archived_policy_guards_nothing(guarded: ModelVersion, admin: User) -> None:
    services.archive_policy(actor=admin, policy=Policy.objects.get())

    registry.move_to_stage(actor=admin, version=guarded, stage="Production")

    assert stage_of(guarded) == "Production"


# -- Requests follow ---------------------------------------------------------------------------------------------------


def test_a_direct_move_supersedes_the_requests_for_the_same_move(
    version: ModelVersion, mira: User, sam: User, admin: User
) -> None:
    same = services.open_request(actor=sam, version=version, target=STAGING)
    other = services.open_request(actor=sam, version=version, target=PRODUCTION)

    registry.move_to_stage(actor=admin, version=version, stage="Staging")

    same.refresh_from_db()
    other.refresh_from_db()
    assert same.state == State.SUPERSEDED and same.closed_by == admin
    assert other.state == State.OPEN


def test_setting_an_alias_supersedes_the_requests_for_it(version: ModelVersion, sam: User, admin: User) -> None:
    request = services.open_request(actor=sam, version=version, target=CHAMPION)

    registry.set_alias(actor=admin, version=version, alias="champion")

    request.refresh_from_db()
    assert request.state == State.SUPERSEDED


def test_a_refused_move_supersedes_nothing(asked: TransitionRequest, admin: User) -> None:
    with pytest.raises(GateRefused):
        registry.move_to_stage(actor=admin, version=asked.version, stage="Production")

    asked.refresh_from_db()
    assert asked.state == State.OPEN


def test_deleting_a_version_supersedes_its_requests(asked: TransitionRequest, admin: User) -> None:
    registry.delete_version(actor=admin, version=asked.version)

    asked.refresh_from_db()
    assert asked.state == State.SUPERSEDED


def test_deleting_a_model_supersedes_its_requests(admin: User, sam: User, db: None) -> None:
    version = make_version(make_model("pricing"), user=admin)
    request = services.open_request(actor=sam, version=version, target=STAGING)

    registry.delete_model(actor=admin, model=version.model)

    request.refresh_from_db()
    assert request.state == State.SUPERSEDED


def test_an_applied_request_is_written_beside_the_holding(asked: TransitionRequest, alice: User, dkim: User) -> None:
    approve(alice, asked)
    approve(dkim, asked)

    assert StageHolding.objects.get(version=asked.version, until=None).request_id == asked.pk
