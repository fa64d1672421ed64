"""What a Databricks workspace serves beyond MLflow's calls: its view of models and stages, levels, and who asks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project

from accounts import services as accounts
from accounts.models import Level, User
from approvals import services as approvals
from notifications.models import Event
from registry.gate import Target
from registry.models import ModelVersion, RegisteredModel, TargetKind
from tests.factories import make_model, make_user, make_version
from tests.web.mlflow.conftest import Door

CHURN = {"name": "churn", "version": "2"}
MOVE = "databricks/model-versions/transition-stage"
PRODUCTION = Target(TargetKind.STAGE, "Production")
GATE = """\
name: production-gate
match: {models: ["churn"]}
guards: [stage:Production]
on_direct_change: open_request
requirements: [{approvals: {count: 1, teams: {risk: 1}}}]
"""


@pytest.fixture
def version(mira: User) -> ModelVersion:
    """Version 1 is in Production, version 2 in no stage."""
    model = make_model("churn", user=mira)
    make_version(model, stage="Production", user=mira)
    return make_version(model, user=mira)


def stages() -> dict[int, str]:
    return dict(ModelVersion.objects.values_list("version", "current_stage"))


# -- Models ------------------------------------------------------------------------------------------------------------


def test_a_model_has_its_id_its_owner_and_the_callers_level(door: Door, reader: Door, version: ModelVersion) -> None:
    seen = door.get("databricks/registered-models/get", name="churn")["registered_model_databricks"]

    assert (seen["id"], seen["user_id"], seen["permission_level"]) == (str(version.model_id), "mira", "CAN_MANAGE")
    assert [(v["version"], v["current_stage"]) for v in seen["latest_versions"]] == [("2", "None"), ("1", "Production")]
    assert (seen["creation_timestamp"], type(seen["last_updated_timestamp"])) == (
        version.model.creation_timestamp,
        int,
    )
    seen = reader.get("databricks/registered-models/get", name="churn")["registered_model_databricks"]
    assert seen["permission_level"] == "CAN_READ"


def test_an_unknown_model_is_404_and_a_nameless_question_400(door: Door) -> None:
    path = "databricks/registered-models/get"

    assert door.refused("GET", path, query={"name": "x"})[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert door.refused("GET", path)[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_models_are_listed_by_name_in_pages_with_their_owners(door: Door, mira: User) -> None:
    for name in ("c", "a", "b"):
        make_model(name, user=None if name == "c" else mira)
    make_model("p", tags={"mlflow.prompt.is_prompt": "true"})

    first = door.get("registered-models/list", max_results=2)
    last = door.get("registered-models/list", max_results=2, page_token=first["next_page_token"])

    assert [(m["name"], m.get("user_id")) for m in first["registered_models"]] == [("a", "mira"), ("b", "mira")]
    assert [(m["name"], m.get("user_id")) for m in last["registered_models"]] == [("c", None)]
    assert "next_page_token" not in last
    assert "user_id" not in door.get("registered-models/search")["registered_models"][0]


def test_a_list_takes_no_filter_and_no_more_than_a_thousand(door: Door) -> None:
    make_model("churn")

    assert len(door.get("registered-models/list", filter="name='nothing'")["registered_models"]) == 1
    refused = door.refused("GET", "registered-models/list", query={"max_results": 1001})
    assert refused[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_nobody_is_listed_what_they_may_not_read(reader: Door, version: ModelVersion, settings: Any) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert reader.get("registered-models/list") == {}


# -- Stages ------------------------------------------------------------------------------------------------------------


def test_a_move_answers_the_version_with_what_is_still_asked_for(door: Door, version: ModelVersion) -> None:
    sam = make_user("lena")
    for stage in ("Staging", "Archived"):
        approvals.open_request(actor=sam, version=version, target=Target(TargetKind.STAGE, stage))

    moved = door.post(MOVE, **CHURN, stage="staging", archive_existing_versions=False, comment="For the shadow test.")

    seen = moved["model_version_databricks"]
    assert (seen["current_stage"], seen["version"], seen["user_id"]) == ("Staging", "2", "mira")
    assert (seen["permission_level"], seen["email_subscription_status"]) == ("CAN_MANAGE", "DEFAULT")
    assert [asked["to_stage"] for asked in seen["open_requests"]] == ["Archived"]
    event = Event.objects.get(kind="transition.applied")
    assert event.data["comment"] == "For the shadow test."


@pytest.mark.parametrize("flag", [True, "true"])
def test_holders_are_archived_when_asked_for_even_by_a_word(door: Door, version: ModelVersion, flag: object) -> None:
    door.post(MOVE, **CHURN, stage="Production", archive_existing_versions=flag)

    assert stages() == {1: "Archived", 2: "Production"}


def test_without_the_flag_two_versions_share_a_stage(door: Door, version: ModelVersion) -> None:
    door.post(MOVE, **CHURN, stage="Production", archive_existing_versions="false")

    assert stages() == {1: "Production", 2: "Production"}


@pytest.mark.parametrize("stage", ["None", "Archived"])
def test_nothing_is_archived_for_a_stage_that_serves_nobody(door: Door, version: ModelVersion, stage: str) -> None:
    make_version(version.model, stage=stage)

    door.post(MOVE, **CHURN, stage=stage, archive_existing_versions=True)

    assert stages() == {1: "Production", 2: stage, 3: stage}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"stage": "Live"}, (400, "INVALID_PARAMETER_VALUE")),
        ({"stage": ""}, (400, "INVALID_PARAMETER_VALUE")),
        ({"archive_existing_versions": "perhaps"}, (400, "INVALID_PARAMETER_VALUE")),
        ({"comment": "x" * 65_536}, (400, "INVALID_PARAMETER_VALUE")),
        ({"version": "9"}, (404, "RESOURCE_DOES_NOT_EXIST")),
        ({"name": "nothing"}, (404, "RESOURCE_DOES_NOT_EXIST")),
    ],
)
def test_a_bad_move_is_refused(door: Door, version: ModelVersion, changes: dict[str, Any], code: object) -> None:
    assert door.refused("POST", MOVE, {**CHURN, "stage": "Staging", **changes})[:2] == code
    assert stages() == {1: "Production", 2: "None"}


def test_the_gate_refuses_a_guarded_move_in_its_own_words_and_asks_for_it(door: Door, version: ModelVersion) -> None:
    approvals.publish_policy(actor=None, text=GATE)

    status, code, message = door.refused("POST", MOVE, {**CHURN, "stage": "Production"})

    assert (status, code) == (403, "PERMISSION_DENIED")
    assert "production-gate" in message and "asks for it in your name" in message
    assert [asked["user_id"] for asked in door.get("transition-requests/list", **CHURN)["requests"]] == ["mira"]
    assert stages() == {1: "Production", 2: "None"}


# -- Deleting and renaming what is live --------------------------------------------------------------------------------

HELD: list[tuple[str, str, dict[str, str]]] = [
    ("DELETE", "model-versions/delete", {"name": "churn", "version": "1"}),
    ("DELETE", "registered-models/delete", {"name": "churn"}),
    ("POST", "registered-models/rename", {"name": "churn", "new_name": "fraud"}),
]


@pytest.mark.parametrize(("method", "path", "body"), HELD)
def test_what_is_live_is_deleted_and_renamed_as_in_mlflow(
    door: Door, version: ModelVersion, method: str, path: str, body: dict[str, str]
) -> None:
    assert door.send(method, path, body).status_code == 200


@pytest.mark.parametrize(("method", "path", "body"), HELD)
def test_protected_it_goes_only_once_it_is_out_of_its_stage(
    door: Door, version: ModelVersion, method: str, path: str, body: dict[str, str], settings: Any
) -> None:
    settings.PROTECT_HELD_VERSIONS = True

    status, code, message = door.refused(method, path, body)
    assert (status, code) == (400, "INVALID_STATE") and "Production" in message
    assert RegisteredModel.objects.live().filter(name="churn").exists() and ModelVersion.objects.live().count() == 2
    door.post(MOVE, name="churn", version="1", stage="Archived")
    assert door.send(method, path, body).status_code == 200


def test_protection_says_nothing_to_who_may_not_delete(reader: Door, version: ModelVersion, settings: Any) -> None:
    settings.PROTECT_HELD_VERSIONS = True

    for method, path, body in HELD:
        assert reader.refused(method, path, body)[:2] == (403, "PERMISSION_DENIED")


def test_protection_leaves_versions_alone_that_serve_nobody(door: Door, version: ModelVersion, settings: Any) -> None:
    settings.PROTECT_HELD_VERSIONS = True

    assert door.delete("model-versions/delete", **CHURN) == {}


# -- Levels ------------------------------------------------------------------------------------------------------------

Ask = tuple[str, str, dict[str, Any]]


def _on(method: str, path: str, **body: Any) -> Ask:
    return method, path, {**CHURN, **body}


# What each level is the first to allow. Version 2 holds nothing, version 1 Production; lena asks for Staging and
# Production, version 1's way out is asked for as well; who tries is tom, who has asked for Archived himself.
FIRST_ALLOWED: dict[Level, list[Ask]] = {
    Level.NONE: [("POST", "registered-models/create", {"name": "new"})],
    Level.READ: [
        ("GET", "databricks/registered-models/get", {"name": "churn"}),
        _on("GET", "model-versions/get"),
        _on("GET", "model-versions/get-download-uri"),
        _on("GET", "transition-requests/list"),
        ("POST", "registered-models/get-latest-versions", {"name": "churn"}),
        _on("POST", "transition-requests/create", stage="Production"),
        _on("DELETE", "transition-requests/delete", stage="Archived", creator="tom"),
        _on("POST", "comments/create", comment="Look."),
    ],
    Level.EDIT: [
        ("POST", "model-versions/create", {"name": "churn", "source": "s3://models/churn"}),
        ("PATCH", "registered-models/update", {"name": "churn", "description": "New."}),
        _on("PATCH", "model-versions/update", description="New."),
        ("POST", "registered-models/set-tag", {"name": "churn", "key": "k", "value": "v"}),
        ("DELETE", "registered-models/delete-tag", {"name": "churn", "key": "k"}),
        _on("POST", "model-versions/set-tag", key="k", value="v"),
        _on("DELETE", "model-versions/delete-tag", key="k"),
    ],
    Level.MANAGE_STAGING_VERSIONS: [
        _on("POST", MOVE, stage="Staging"),
        _on("POST", "model-versions/transition-stage", stage="Staging"),
        _on("POST", "transition-requests/approve", stage="Staging"),
        _on("POST", "transition-requests/reject", stage="Staging"),
    ],
    Level.MANAGE_PRODUCTION_VERSIONS: [
        _on("POST", MOVE, stage="Production"),
        _on("POST", "transition-requests/approve", stage="Production"),
        _on("POST", "transition-requests/reject", stage="Production"),
        ("POST", MOVE, {"name": "churn", "version": "1", "stage": "Staging"}),
        ("POST", "transition-requests/approve", {"name": "churn", "version": "1", "stage": "Archived"}),
        ("POST", "transition-requests/reject", {"name": "churn", "version": "1", "stage": "Archived"}),
    ],
    Level.MANAGE: [
        _on("DELETE", "transition-requests/delete", stage="Staging", creator="lena"),
        ("POST", "registered-models/rename", {"name": "churn", "new_name": "fraud"}),
        ("DELETE", "registered-models/delete", {"name": "churn"}),
        _on("DELETE", "model-versions/delete"),
    ],
}


@pytest.fixture
def tries(version: ModelVersion, settings: Any) -> Callable[[Level], Door]:
    """Somebody with that level, among requests that are open."""
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    lena, tom = make_user("lena"), make_user("tom")
    accounts.grant(actor=None, level=Level.READ, user=lena, pattern="*")
    asks = accounts.grant(actor=None, level=Level.READ, user=tom, pattern="*")
    live = ModelVersion.objects.get(version=1)
    for by, of, stage in (
        (lena, version, "Staging"),
        (lena, version, "Production"),
        (lena, live, "Archived"),
        (tom, version, "Archived"),
    ):
        approvals.open_request(actor=by, version=of, target=Target(TargetKind.STAGE, stage))
    asks.delete()

    def door_with(level: Level) -> Door:
        tom = User.objects.get(username="tom")
        if level:
            accounts.grant(actor=None, level=level, user=tom, pattern="*")
        return Door(tom)

    return door_with


@pytest.mark.parametrize("level", Level, ids=lambda level: level.name)
@pytest.mark.parametrize(
    ("needed", "ask"),
    [(level, ask) for level, asks in FIRST_ALLOWED.items() for ask in asks],
    ids=lambda part: part.name if isinstance(part, Level) else f"{part[1]} {part[2].get('stage', '')}".strip(),
)
def test_each_level_allows_what_databricks_says(
    tries: Callable[[Level], Door], level: Level, needed: Level, ask: Ask
) -> None:
    method, path, fields = ask
    door = tries(level)

    answer = door.send(method, path, query=fields) if method == "GET" else door.send(method, path, fields)

    if level >= needed:
        assert answer.status_code == 200, answer.content
    elif level == Level.NONE:
        assert answer.json()["error_code"] == "RESOURCE_DOES_NOT_EXIST"  # and hears not even that there is such a model
    else:
        assert (answer.status_code, answer.json()["error_code"]) == (403, "PERMISSION_DENIED")


def test_the_level_is_asked_before_whether_anything_is_open(tries: Callable[[Level], Door]) -> None:
    reader, body = tries(Level.READ), {**CHURN, "version": "1", "stage": "None"}

    for method, verb in (("POST", "approve"), ("POST", "reject"), ("DELETE", "delete")):
        refused = reader.refused(method, f"transition-requests/{verb}", {**body, "creator": "lena"})
        assert refused[:2] == (403, "PERMISSION_DENIED")
    own = reader.refused("DELETE", "transition-requests/delete", {**body, "creator": "tom"})
    assert own[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


# -- Addresses and words -----------------------------------------------------------------------------------------------


def test_every_call_is_served_below_preview_too(door: Door, version: ModelVersion) -> None:
    preview = "/api/2.0/preview/mlflow"

    assert door.get(f"{preview}/model-versions/get", **CHURN) == door.get("model-versions/get", **CHURN)
    made = door.post(f"{preview}/transition-requests/create", **CHURN, stage="Staging")["request"]
    assert door.get(f"{preview}/transition-requests/list", **CHURN)["requests"] == [made]
    gone = door.send("DELETE", f"{preview}/model-versions/delete", query=CHURN)
    assert (gone.status_code, gone.content) == (200, b"{}")


def test_me_is_the_caller_as_scim_has_it(door: Door, mira: User, admin: User) -> None:
    accounts.add_to_team(actor=None, team=accounts.create_team(actor=None, name="risk"), users=[mira])
    User.objects.filter(pk=mira.pk).update(first_name="Mira", last_name="Koch", email="mira@example.com")
    path = "/api/2.0/preview/scim/v2/Me"

    assert door.get(path) == {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": str(mira.pk),
        "userName": "mira",
        "displayName": "Mira Koch",
        "active": True,
        "groups": [{"display": "risk"}],
        "emails": [{"value": "mira@example.com", "primary": True}],
    }
    assert Door(admin).get(path)["groups"] == [{"display": "admins"}]
    assert door.refused("POST", path, {})[:2] == (405, "BAD_REQUEST")


# The SDK repeats, for five minutes, whatever fails with one of these in the message.
REPEATED = (
    "Unexpected error",
    "Please try again later or try a faster operation.",
    "RPC token bucket limit has been exceeded",
    "Unknown worker environment",
    "ClusterNotReadyException",
)


def test_no_sentence_of_ours_makes_the_sdk_repeat_a_call() -> None:
    rooms = ("accounts", "approvals", "core", "notifications", "registry", "tracking", "web")
    sources: list[Path] = [path for room in rooms for path in (project.BASE_DIR / room).rglob("*.py")]

    assert len(sources) > 100
    assert [path for path in sources if any(words in path.read_text() for words in REPEATED)] == []
