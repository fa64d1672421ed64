"""No value in any field of any call of Databricks' part of the protocol is a crash, and none shows what is inside."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from accounts.models import User
from approvals import services as approvals
from approvals.models import Comment
from notifications.models import Channel, Event
from registry import webhooks
from registry.models import ModelVersion, RegisteredModel
from tests.factories import make_model, make_version
from tests.web.mlflow.conftest import Door
from tests.web.mlflow.test_hostile_input import INSIDE, VALUES
from web.mlflow.urls import DATABRICKS, GRANTS

pytestmark = pytest.mark.django_db

COMMENT, MODEL, HOOK = 7_000_001, 7_000_002, UUID(int=7)
LIVE = {"name": "churn", "version": "1", "stage": "Production"}
HTTP = {"url": "https://deploy.invalid/x", "secret": "s", "authorization": "a", "enable_ssl_verification": True}
JOB = {"job_id": "42", "access_token": "a", "workspace_url": "https://deploy.invalid/"}
WEBHOOK = {"events": ["COMMENT_CREATED"], "description": "d", "status": "ACTIVE", "http_url_spec": HTTP}
LIST = {"max_results": 5, "page_token": ""}
ENTRY = {"user_name": "mira", "group_name": "", "service_principal_name": "", "permission_level": "CAN_READ"}
OF_ALL = "/api/2.0/permissions/registered-models/root"
OF_MODEL = f"/api/2.0/permissions/registered-models/{MODEL}"
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "registered-models/list": ("GET", LIST),
    "databricks/registered-models/get": ("GET", {"name": "churn"}),
    "databricks/model-versions/transition-stage": (
        "POST",
        {**LIVE, "archive_existing_versions": True, "comment": "c"},
    ),
    "transition-requests/create": ("POST", {**LIVE, "comment": "c"}),
    "transition-requests/list": ("GET", {"name": "churn", "version": "1"}),
    "transition-requests/approve": ("POST", {**LIVE, "archive_existing_versions": True, "comment": "c"}),
    "transition-requests/reject": ("POST", {**LIVE, "comment": "c"}),
    "transition-requests/delete": ("DELETE", {**LIVE, "creator": "mira", "comment": "c"}),
    "comments/create": ("POST", {"name": "churn", "version": "1", "comment": "c"}),
    "comments/update": ("PATCH", {"id": str(COMMENT), "comment": "c"}),
    "comments/delete": ("DELETE", {"id": str(COMMENT)}),
    "registry-webhooks/create": ("POST", {**WEBHOOK, "model_name": "churn"}),
    "registry-webhooks/list": ("GET", {**LIST, "model_name": "churn", "events": "COMMENT_CREATED"}),
    "registry-webhooks/update": ("PATCH", {**WEBHOOK, "id": HOOK.hex}),
    "registry-webhooks/delete": ("DELETE", {"id": HOOK.hex}),
    "registry-webhooks/test": ("POST", {"id": HOOK.hex, "event": "COMMENT_CREATED"}),
    OF_MODEL: ("PUT", {"access_control_list": [ENTRY]}),
    OF_ALL: ("PATCH", {"access_control_list": [ENTRY]}),
}
# Objects in a field, each with one of its own fields at a time replaced.
NESTED: dict[str, dict[str, dict[str, Any]]] = {
    "registry-webhooks/create": {"http_url_spec": HTTP, "job_spec": JOB},
    "registry-webhooks/update": {"http_url_spec": HTTP, "job_spec": JOB},
}


@pytest.fixture
def world(mira: User, admin: User) -> ModelVersion:
    """What the calls of the table name."""
    RegisteredModel.objects.filter(pk=make_model("churn", user=mira).pk).update(id=MODEL)
    version = make_version(RegisteredModel.objects.get(pk=MODEL), user=mira)
    said = approvals.add_comment(actor=mira, version=version, text="Well done.")
    Comment.objects.filter(pk=said.pk).update(id=COMMENT)
    hook = webhooks.create_webhook(
        actor=admin, model=version.model, target="https://deploy.invalid/hook", kinds=["COMMENT_CREATED"]
    )
    Channel.objects.filter(pk=hook.pk).update(key=HOOK)
    return version


def bodies(path: str) -> Iterator[dict[str, Any]]:
    _, fields = CALLS[path]
    yield from ({**fields, field: value} for field in fields for value in VALUES)
    for outer, item in NESTED.get(path, {}).items():
        without = {field: value for field, value in fields.items() if field not in ("http_url_spec", "job_spec")}
        yield from ({**without, outer: {**item, field: value}} for field in item for value in VALUES)
    if "access_control_list" in fields:
        yield from ({"access_control_list": [{**ENTRY, field: value}]} for field in ENTRY for value in VALUES)


def test_the_table_above_covers_every_call() -> None:
    assert {path for path in CALLS if not path.startswith("/")} == set(DATABRICKS)
    assert len(GRANTS) == 2


@pytest.mark.parametrize("path", CALLS)
def test_no_value_in_any_field_is_a_crash(admin: User, world: ModelVersion, path: str) -> None:
    door, method = Door(admin), CALLS[path][0]
    for body in bodies(path):
        if method == "GET":
            query = {
                key: value if isinstance(value, str | int | float) else json.dumps(value) for key, value in body.items()
            }
            if any(isinstance(value, str) and "\ud800" in value for value in query.values()):
                continue  # no client can write this in a URL
            answer = door.send("GET", path, query=query)
        else:
            answer = door.send(method, path, body)
        text = answer.content.decode()
        shown = (path, repr(body)[:300], answer.status_code, text[:300])
        assert answer.status_code < 500, shown
        content = json.loads(text)
        assert isinstance(content, dict), shown
        if answer.status_code != 200:
            assert set(content) == {"error_code", "message"}, shown
            assert len(text) < 5000, shown
            assert not [
                word for word in INSIDE if word in text.replace("'; DROP TABLE registry_modelversion; --", "")
            ], shown


@pytest.mark.parametrize("path", [path for path, (method, _) in CALLS.items() if method != "GET"])
def test_reading_methods_change_nothing(admin: User, world: ModelVersion, path: str) -> None:
    door, before = Door(admin), Event.objects.count()

    for method in ("GET", "HEAD", "OPTIONS"):
        door.send(method, path, query=CALLS[path][1])

    assert Event.objects.count() == before
