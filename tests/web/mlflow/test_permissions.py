"""Grants by the Databricks protocol."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import Grant, Level, Team, User
from notifications.models import Event
from registry.models import RegisteredModel
from registry.services import create_model
from tests.cast import person, risk
from tests.factories import make_user
from tests.web.mlflow.conftest import Door

__all__ = ["risk"]  # a fixture

BASE = "/api/2.0/permissions/registered-models/"
ADMINS = {
    "group_name": "admins",
    "all_permissions": [
        {"permission_level": "CAN_MANAGE", "inherited": True, "inherited_from_object": ["/registered-models/"]}
    ],
}


@pytest.fixture
def ana(db: None, settings: Settings) -> Door:
    """She created the model that the tests are about."""
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    ana = make_user("ana", first_name="Ana", last_name="Ott")
    create_model(actor=ana, name="fraud")
    return Door(ana)


@pytest.fixture
def at(ana: Door) -> str:
    return f"{BASE}{RegisteredModel.objects.get().pk}"


@pytest.fixture
def admin(db: None) -> Door:
    return Door(person("admin", is_superuser=True))


def acl(*entries: tuple[str, str, str]) -> dict[str, Any]:
    return {"access_control_list": [{kind: name, "permission_level": level} for kind, name, level in entries]}


def listed(answer: dict[str, Any]) -> dict[str, list[tuple[str, bool]]]:
    """By name, the levels and whether each is inherited."""
    return {
        next(entry[key] for key in ("user_name", "group_name", "service_principal_name") if key in entry): [
            (permission["permission_level"], permission["inherited"]) for permission in entry["all_permissions"]
        ]
        for entry in answer["access_control_list"]
    }


def test_a_new_model_is_its_creators_and_the_administrators(ana: Door, at: str) -> None:
    pk = RegisteredModel.objects.get().pk

    assert ana.get(at) == {
        "object_id": f"/registered-models/{pk}",
        "object_type": "registered-model",
        "access_control_list": [
            {
                "user_name": "ana",
                "display_name": "Ana Ott",
                "all_permissions": [{"permission_level": "CAN_MANAGE", "inherited": False}],
            },
            ADMINS,
        ],
    }


def test_patch_sets_those_named_and_leaves_the_others(ana: Door, at: str, risk: Team) -> None:
    make_user("bo"), person("bot", is_service=True)
    body = acl(
        ("user_name", "bo", "CAN_EDIT"),
        ("group_name", "risk", "CAN_MANAGE_PRODUCTION_VERSIONS"),
        ("service_principal_name", "bot", "CAN_MANAGE_STAGING_VERSIONS"),
    )

    ana.patch(at, **body)
    answer = ana.patch(at, **acl(("user_name", "bo", "CAN_READ")))

    assert answer == ana.get(at)
    assert listed(answer) == {
        "ana": [("CAN_MANAGE", False)],
        "risk": [("CAN_MANAGE_PRODUCTION_VERSIONS", False)],
        "bot": [("CAN_MANAGE_STAGING_VERSIONS", False)],
        "bo": [("CAN_READ", False)],
        "admins": [("CAN_MANAGE", True)],
    }


def test_put_replaces_all_and_a_creator_who_forgets_himself_loses_the_model(ana: Door, at: str) -> None:
    bo = Door(make_user("bo"))

    answer = ana.send("PUT", at, acl(("user_name", "bo", "CAN_MANAGE")))

    assert answer.status_code == 200
    assert listed(answer.json()) == {"bo": [("CAN_MANAGE", False)], "admins": [("CAN_MANAGE", True)]}  # type: ignore[attr-defined]
    assert ana.refused("GET", at)[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert listed(bo.get(at)).keys() == {"bo", "admins"}


def test_an_empty_list_takes_all_back_and_a_missing_one_is_refused(ana: Door, at: str) -> None:
    assert ana.refused("PUT", at, {})[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert Grant.objects.exists()

    assert ana.send("PUT", at, {"access_control_list": []}).status_code == 200
    assert not Grant.objects.exists()


def test_what_comes_from_a_pattern_is_inherited_beside_what_is_direct(ana: Door, at: str) -> None:
    bo = make_user("bo")
    Grant.objects.create(user=bo, pattern="fr*", level=Level.EDIT)
    Grant.objects.create(user=bo, pattern="other", level=Level.MANAGE)

    answer = ana.patch(at, **acl(("user_name", "bo", "CAN_READ")))

    assert listed(answer)["bo"] == [("CAN_READ", False), ("CAN_EDIT", True)]
    ana.send("PUT", at, acl(("user_name", "ana", "CAN_MANAGE")))
    assert listed(ana.get(at))["bo"] == [("CAN_EDIT", True)]


def test_a_list_as_it_was_read_can_be_sent_back(ana: Door, at: str) -> None:
    entries = [
        {"user_name": "ana", "permission_level": "CAN_MANAGE"},
        {"group_name": "admins", "permission_level": "CAN_MANAGE"},
    ]

    assert ana.send("PUT", at, {"access_control_list": entries}).status_code == 200
    assert listed(ana.get(at)) == {"ana": [("CAN_MANAGE", False)], "admins": [("CAN_MANAGE", True)]}


def test_readers_look_and_only_who_manages_changes(ana: Door, at: str) -> None:
    bo, outsider = Door(make_user("bo")), Door(make_user("zoe"))
    ana.patch(at, **acl(("user_name", "bo", "CAN_MANAGE_PRODUCTION_VERSIONS")))
    mine = acl(("user_name", "bo", "CAN_MANAGE"), ("user_name", "nobody", "CAN_READ"))

    assert "bo" in listed(bo.get(at))
    for method in ("PUT", "PATCH"):
        assert bo.refused(method, at, mine)[:2] == (403, "PERMISSION_DENIED")
        assert outsider.refused(method, at, mine)[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert outsider.refused("GET", at)[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


@pytest.mark.parametrize(
    ("entries", "status"),
    [
        ([{"user_name": "ana", "permission_level": "CAN_FLY"}], 400),
        ([{"user_name": "ana", "permission_level": "CAN_CREATE_REGISTERED_MODEL"}], 400),
        ([{"user_name": "ana"}], 400),
        ([{"permission_level": "CAN_READ"}], 400),
        ([{"user_name": "ana", "group_name": "risk", "permission_level": "CAN_READ"}], 400),
        ([{"user_name": "ana", "permission_level": "CAN_READ"}] * 2, 400),
        ([{"group_name": "admins", "permission_level": "CAN_READ"}], 400),
        (["ana"], 400),
        ("ana", 400),
        ([{"user_name": 7, "permission_level": "CAN_READ"}], 400),
        ([{"user_name": "nobody", "permission_level": "CAN_READ"}], 404),
        ([{"group_name": "nobody", "permission_level": "CAN_READ"}], 404),
        ([{"service_principal_name": "ana", "permission_level": "CAN_READ"}], 404),
        ([{"user_name": "bot", "permission_level": "CAN_READ"}], 404),
        ([{"user_name": "ana", "permission_level": "CAN_READ"}] * 1001, 400),
    ],
)
def test_bad_input_changes_nothing(entries: object, status: int, ana: Door, at: str) -> None:
    person("bot", is_service=True)
    code = {400: "INVALID_PARAMETER_VALUE", 404: "RESOURCE_DOES_NOT_EXIST"}[status]
    before = Event.objects.count()

    for method in ("PUT", "PATCH"):
        assert ana.refused(method, at, {"access_control_list": entries})[:2] == (status, code)
    assert [(str(row.holder), row.level) for row in Grant.objects.all()] == [("ana", Level.MANAGE)]
    assert Event.objects.count() == before


@pytest.mark.parametrize("object_id", ["0", "999", "x", "-1", "1" * 30, "fraud", "٣"])
def test_an_unknown_id_is_not_there(object_id: str, ana: Door) -> None:
    assert ana.refused("GET", f"{BASE}{object_id}")[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert ana.refused("PATCH", f"{BASE}{object_id}", acl(("user_name", "ana", "CAN_READ")))[0] == 404


def test_the_levels_are_described(ana: Door, at: str) -> None:
    levels = ana.get(f"{at}/permissionLevels")["permission_levels"]

    assert [level["permission_level"] for level in levels] == [
        "CAN_READ", "CAN_EDIT", "CAN_MANAGE_STAGING_VERSIONS", "CAN_MANAGE_PRODUCTION_VERSIONS", "CAN_MANAGE",
    ]  # fmt: skip
    assert all(level["description"] for level in levels)


def test_root_is_the_administrators(ana: Door, admin: Door, at: str) -> None:
    assert ana.refused("GET", f"{BASE}root")[:2] == (403, "PERMISSION_DENIED")
    assert ana.refused("PATCH", f"{BASE}root", acl(("user_name", "ana", "CAN_MANAGE")))[0] == 403

    answer = admin.patch(f"{BASE}root", **acl(("user_name", "ana", "CAN_READ")))

    assert answer["object_id"] == "/registered-models/root"
    assert listed(answer) == {"ana": [("CAN_READ", False)], "admins": [("CAN_MANAGE", True)]}
    assert Grant.objects.get(pattern="*").user == User.objects.get(username="ana")
    assert listed(ana.get(at))["ana"] == [("CAN_MANAGE", False), ("CAN_READ", True)]


def test_on_root_the_administrators_cannot_be_left_out(admin: Door) -> None:
    make_user("bo")
    without = acl(("user_name", "bo", "CAN_READ"))

    status, code, message = admin.refused("PUT", f"{BASE}root", without)

    assert (status, code) == (400, "INVALID_PARAMETER_VALUE")
    assert "cannot change permissions for group admins" in message
    assert not Grant.objects.exists()
    with_them = acl(("user_name", "bo", "CAN_READ"), ("group_name", "admins", "CAN_MANAGE"))
    assert admin.send("PUT", f"{BASE}root", with_them).status_code == 200
    assert Grant.objects.get().pattern == "*"


def test_a_list_costs_the_same_however_long(ana: Door, at: str, django_assert_num_queries: Any) -> None:
    ana.get(at)
    with django_assert_num_queries(5):
        ana.get(at)
    model = RegisteredModel.objects.get()
    Grant.objects.bulk_create(Grant(user=make_user(), model_id=model.pk, level=1) for _ in range(20))

    with django_assert_num_queries(5):
        assert len(ana.get(at)["access_control_list"]) == 22
