"""Requests as Databricks' clients ask for, judge and cancel them."""

from __future__ import annotations

from typing import Any

import pytest

from accounts import services as accounts
from accounts.models import Level, User
from approvals import services as approvals
from approvals.models import Review, TransitionRequest
from registry.gate import Target
from registry.models import ModelVersion, TargetKind
from tests.factories import make_model, make_user, make_version
from tests.scenes import ARCHIVED, PRODUCTION, STAGING
from tests.web.mlflow.conftest import Door

CHURN = {"name": "churn", "version": "2"}
LIVE = {**CHURN, "stage": "Production"}
CANCEL, APPROVE, REJECT = (f"{verb}_TRANSITION_REQUEST" for verb in ("CANCEL", "APPROVE", "REJECT"))
PATH = "transition-requests"
GATE = """\
name: production-gate
match: {models: ["churn"]}
guards: [stage:Production]
requirements: [{approvals: {count: 2, teams: {risk: 1}}}]
"""
MACHINES = """\
name: machines-decide
match: {models: ["churn"]}
guards: [stage:Production]
requirements: [{description: {min_length: 1}}]
"""


@pytest.fixture
def version(mira: User) -> ModelVersion:
    """Version 1 is in Production, version 2 in no stage."""
    model = make_model("churn", user=mira)
    make_version(model, stage="Production", user=mira)
    return make_version(model, user=mira)


@pytest.fixture
def asker(version: ModelVersion) -> Door:
    return Door(make_user("ann"))


@pytest.fixture
def risk(version: ModelVersion) -> Door:
    """In the team risk, and nothing else."""
    accounts.create_team(actor=None, name="risk")
    user = make_user("rob")
    accounts.add_to_team(actor=None, team=accounts.find_team("risk"), users=[user])
    return Door(user)


def stages() -> dict[int, str]:
    return dict(ModelVersion.objects.values_list("version", "current_stage"))


def states() -> list[str]:
    return list(TransitionRequest.objects.order_by("pk").values_list("state", flat=True))


def open_for(door: Door) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = door.get(f"{PATH}/list", **CHURN)["requests"]
    return found


# -- Asking ------------------------------------------------------------------------------------------------------------


def test_asking_changes_nothing_and_answers_the_request(asker: Door, version: ModelVersion) -> None:
    made = asker.post(f"{PATH}/create", **CHURN, stage="production", comment="AUC is up.")["request"]

    moment = made.pop("creation_timestamp")
    assert type(moment) is int and moment > 1_700_000_000_000
    assert made == {
        "user_id": "ann", "activity_type": "REQUESTED_TRANSITION", "to_stage": "Production",
        "comment": "AUC is up.", "available_actions": [CANCEL],
    }  # fmt: skip
    assert stages() == {1: "Production", 2: "None"}


def test_what_one_may_do_about_a_request_depends_on_who_looks(asker: Door, door: Door, reader: Door) -> None:
    asker.post(f"{PATH}/create", **LIVE, archive_existing_versions="true")

    for looks, actions in ((asker, [CANCEL]), (door, [CANCEL, APPROVE, REJECT]), (reader, [])):
        [seen] = open_for(looks)
        assert (seen["user_id"], seen["available_actions"], "comment" in seen) == ("ann", actions, False)


def test_who_could_move_it_asks_all_the_same_and_may_approve_it(door: Door, version: ModelVersion) -> None:
    made = door.post(f"{PATH}/create", **LIVE)["request"]

    assert made["available_actions"] == [CANCEL, APPROVE, REJECT]
    assert stages()[2] == "None"


def test_asking_twice_for_the_same_is_a_conflict(asker: Door, door: Door) -> None:
    for stage in ("Production", "Staging"):
        asker.post(f"{PATH}/create", **CHURN, stage=stage)
    door.post(f"{PATH}/create", **LIVE)

    assert asker.refused("POST", f"{PATH}/create", LIVE)[:2] == (409, "RESOURCE_ALREADY_EXISTS")
    assert len(open_for(asker)) == 3


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stage": "None"}, (400, "INVALID_PARAMETER_VALUE")),  # it is there
        ({"stage": "Live"}, (400, "INVALID_PARAMETER_VALUE")),
        ({"stage": None}, (400, "INVALID_PARAMETER_VALUE")),
        ({"comment": "x" * 65_536}, (400, "INVALID_PARAMETER_VALUE")),
        ({"comment": 5}, (400, "INVALID_PARAMETER_VALUE")),
        ({"version": "9"}, (404, "RESOURCE_DOES_NOT_EXIST")),
        ({"name": "nothing"}, (404, "RESOURCE_DOES_NOT_EXIST")),
    ],
)
def test_a_bad_request_is_refused(asker: Door, changes: dict[str, Any], code: object) -> None:
    assert asker.refused("POST", f"{PATH}/create", {**LIVE, **changes})[:2] == code
    assert states() == []


def test_a_policy_that_asks_machines_only_is_carried_out_at_once(asker: Door, version: ModelVersion) -> None:
    accounts.grant(actor=None, level=Level.MANAGE_PRODUCTION_VERSIONS, user=asker.user, pattern="*")
    ModelVersion.objects.filter(pk=version.pk).update(description="Retrained.")
    approvals.publish_policy(actor=None, text=MACHINES)

    made = asker.post(f"{PATH}/create", **LIVE)["request"]

    assert (made["to_stage"], made["available_actions"]) == ("Production", [])
    assert (stages()[2], open_for(asker)) == ("Production", [])


# -- Listing -----------------------------------------------------------------------------------------------------------


def test_a_list_has_open_requests_for_stages_of_one_version(asker: Door, version: ModelVersion) -> None:
    other = make_version(version.model)
    approvals.open_request(actor=asker.user, version=other, target=STAGING)
    approvals.open_request(actor=asker.user, version=version, target=Target(TargetKind.ALIAS, "champion"))
    closed = approvals.open_request(actor=asker.user, version=version, target=ARCHIVED)
    approvals.withdraw_request(actor=asker.user, review_request=closed)

    assert open_for(asker) == []
    assert asker.refused("GET", f"{PATH}/list", query={**CHURN, "version": "9"})[0] == 404
    assert asker.refused("GET", f"{PATH}/list", query={"name": "churn"})[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_a_long_list_takes_as_many_statements_as_a_short_one(
    door: Door, version: ModelVersion, django_assert_num_queries: Any, django_assert_max_num_queries: Any
) -> None:
    def ask(number: int) -> None:
        target = PRODUCTION
        approvals.open_request(actor=make_user(f"asker-{number}"), version=version, target=target)

    ask(0)
    door.get("model-versions/get", **CHURN)
    with django_assert_max_num_queries(30) as short:
        assert len(open_for(door)) == 1
    for number in range(1, 12):
        ask(number)

    with django_assert_num_queries(len(short)):
        assert len(open_for(door)) == 12


# -- Approving ---------------------------------------------------------------------------------------------------------


def test_an_approval_moves_the_version_and_closes_everybodys_requests(asker: Door, door: Door) -> None:
    asker.post(f"{PATH}/create", **LIVE)
    door.post(f"{PATH}/create", **LIVE)
    asker.post(f"{PATH}/create", **CHURN, stage="Staging")

    done = door.post(f"{PATH}/approve", **LIVE, archive_existing_versions=True, comment="Ship it.")["activity"]

    assert len(done.pop("id")) == 32
    assert done.pop("creation_timestamp") == done.pop("last_updated_timestamp") > 1_700_000_000_000
    assert done == {
        "activity_type": "APPROVED_REQUEST", "user_id": "mira", "from_stage": "None", "to_stage": "Production",
        "comment": "Ship it.",
    }  # fmt: skip
    assert stages() == {1: "Archived", 2: "Production"}
    assert states() == ["applied", "superseded", "open"]


@pytest.mark.parametrize(("sent", "holder"), [({"archive_existing_versions": False}, "Production"), ({}, "Archived")])
def test_whether_holders_are_archived_is_the_approvers_word(
    asker: Door, door: Door, sent: dict[str, bool], holder: str
) -> None:
    """Who says nothing leaves it at what was asked for."""
    asker.post(f"{PATH}/create", **LIVE)

    door.post(f"{PATH}/approve", **LIVE, **sent)

    assert stages() == {1: holder, 2: "Production"}
    assert TransitionRequest.objects.get().archive_existing == (holder == "Archived")


def test_the_stage_that_a_version_came_from_is_that_at_the_approval(asker: Door, door: Door) -> None:
    asker.post(f"{PATH}/create", **LIVE)
    door.post("model-versions/transition-stage", **CHURN, stage="Staging")

    assert door.post(f"{PATH}/approve", **LIVE)["activity"]["from_stage"] == "Staging"


def test_under_a_policy_an_approval_is_one_of_those_it_wants(asker: Door, risk: Door, door: Door) -> None:
    approvals.publish_policy(actor=None, text=GATE.replace("count: 2, teams: {risk: 1}", "count: 2"))
    accounts.grant(actor=None, level=Level.MANAGE_PRODUCTION_VERSIONS, user=risk.user, pattern="*")
    lead = Door(make_user("lee"))
    accounts.grant(actor=None, level=Level.MANAGE_PRODUCTION_VERSIONS, user=lead.user, pattern="*")
    asker.post(f"{PATH}/create", **LIVE)

    first = risk.post(f"{PATH}/approve", **LIVE)["activity"]
    assert (first["activity_type"], stages()[2], len(open_for(lead))) == ("APPROVED_REQUEST", "None", 1)
    author = door.refused("POST", f"{PATH}/approve", LIVE)
    assert author[:2] == (403, "PERMISSION_DENIED") and "somebody else" in author[2]
    lead.post(f"{PATH}/approve", **LIVE)
    assert stages()[2] == "Production"


def test_under_a_policy_a_team_decides_though_its_members_could_not_move_it(asker: Door, risk: Door) -> None:
    approvals.publish_policy(actor=None, text=GATE.replace("count: 2", "count: 1"))
    asker.post(f"{PATH}/create", **LIVE)

    assert open_for(risk)[0]["available_actions"] == [APPROVE, REJECT]
    risk.post(f"{PATH}/approve", **LIVE)

    assert stages()[2] == "Production"


def test_an_approval_is_given_to_the_requests_that_it_can_be_given_to(asker: Door, risk: Door) -> None:
    """Under a policy nobody approves what they asked for; somebody else asked for the same."""
    approvals.publish_policy(actor=None, text=GATE.replace("count: 2", "count: 1"))
    risk.post(f"{PATH}/create", **LIVE)
    assert risk.refused("POST", f"{PATH}/approve", LIVE)[:2] == (403, "PERMISSION_DENIED")
    asker.post(f"{PATH}/create", **LIVE)

    risk.post(f"{PATH}/approve", **LIVE)

    assert states() == ["superseded", "applied"]


def test_what_moved_since_the_last_look_is_what_is_approved(asker: Door, door: Door, version: ModelVersion) -> None:
    asker.post(f"{PATH}/create", **LIVE)
    make_version(version.model, stage="Production")  # another baseline

    door.post(f"{PATH}/approve", **LIVE, archive_existing_versions=True)

    assert stages() == {1: "Archived", 2: "Production", 3: "Archived"}
    assert Review.objects.get().seen_baseline.version == 3


# -- Rejecting and cancelling ------------------------------------------------------------------------------------------


def test_a_rejection_closes_everybodys_requests_and_moves_nothing(asker: Door, door: Door) -> None:
    asker.post(f"{PATH}/create", **LIVE)
    door.post(f"{PATH}/create", **LIVE)

    done = door.post(f"{PATH}/reject", **LIVE, comment="Fails on EU data.")["activity"]

    assert (done["activity_type"], done["from_stage"], done["to_stage"]) == ("REJECTED_REQUEST", "None", "Production")
    assert (done["comment"], done["user_id"]) == ("Fails on EU data.", "mira")
    assert (states(), stages()[2], open_for(door)) == (["rejected", "rejected"], "None", [])


def test_databricks_rejects_without_a_reason(asker: Door, door: Door) -> None:
    asker.post(f"{PATH}/create", **LIVE)

    assert door.post(f"{PATH}/reject", **LIVE)["activity"]["comment"] == "No reason was given."


@pytest.mark.parametrize("as_query", [True, False])
def test_a_request_is_cancelled_by_its_creator(asker: Door, door: Door, as_query: bool) -> None:
    asker.post(f"{PATH}/create", **LIVE)
    door.post(f"{PATH}/create", **LIVE)

    fields = {**LIVE, "creator": "ann", "comment": "Not yet."}
    answer = asker.send("DELETE", f"{PATH}/delete", **({"query": fields} if as_query else {"body": fields}))

    done = answer.json()["activity"]
    assert (done["activity_type"], done["user_id"], done["comment"]) == ("CANCELLED_REQUEST", "ann", "Not yet.")
    assert (states(), [seen["user_id"] for seen in open_for(door)]) == (["withdrawn", "open"], ["mira"])


def test_who_manages_the_model_cancels_for_others_and_is_named(asker: Door, door: Door) -> None:
    asker.post(f"{PATH}/create", **LIVE)

    assert door.delete(f"{PATH}/delete", **LIVE, creator="ann")["activity"]["user_id"] == "mira"
    assert states() == ["withdrawn"]


@pytest.mark.parametrize(("method", "verb"), [("POST", "approve"), ("POST", "reject"), ("DELETE", "delete")])
def test_what_nobody_asks_for_cannot_be_decided(door: Door, version: ModelVersion, method: str, verb: str) -> None:
    body = {**LIVE, "creator": "ann"}

    assert door.refused(method, f"{PATH}/{verb}", body)[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert door.refused(method, f"{PATH}/{verb}", {**body, "stage": "Live"})[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert door.refused(method, f"{PATH}/{verb}", {**body, "version": "9"})[0] == 404


def test_cancelling_needs_the_creators_name(door: Door, version: ModelVersion) -> None:
    message = door.refused("DELETE", f"{PATH}/delete", LIVE)[2]

    assert "'creator'" in message
