"""Registry webhooks over the Databricks protocol: what is taken, what is answered, and never a secret in an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from accounts.models import User
from core.crypto import decrypt
from notifications.models import Channel, Event
from registry.services import create_model
from tests.cast import person
from tests.receivers import Receiver
from tests.web.mlflow.conftest import Door

URL = "https://hooks.example.com/x"
HTTP = {"url": URL, "secret": "geheim", "authorization": "Bearer hunter2"}
JOB = {"job_id": "42", "access_token": "hunter2", "workspace_url": "https://ws.example.com/"}
FIELDS = {"model_name": "fraud", "events": ["COMMENT_CREATED"], "http_url_spec": HTTP}
PATH = "registry-webhooks/"


@pytest.fixture
def owner(db: None) -> User:
    user = person("olga")
    create_model(actor=user, name="fraud")
    return user


@pytest.fixture
def owners(owner: User) -> Door:
    return Door(owner)


def create(door: Door, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = door.post(PATH + "create", **{**FIELDS, **fields})["webhook"]
    return made


@pytest.mark.parametrize("prefix", ["", "/api/2.0/preview/mlflow/", "/ajax-api/2.0/mlflow/"])
def test_a_webhook_is_made_listed_changed_and_deleted(prefix: str, owners: Door) -> None:
    path = prefix + PATH
    made = owners.post(path + "create", **FIELDS, description="to chat", status="TEST_MODE")["webhook"]

    channel = Channel.objects.get()
    assert made == {
        "id": channel.key.hex,  # type: ignore[union-attr]
        "events": ["COMMENT_CREATED"],
        "model_name": "fraud",
        "description": "to chat",
        "status": "TEST_MODE",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["creation_timestamp"],
        "http_url_spec": {"url": URL, "enable_ssl_verification": True},
    }
    assert (decrypt(channel.secret), decrypt(channel.authorization)) == ("geheim", "Bearer hunter2")
    assert owners.get(path + "list") == {"webhooks": [made]} == owners.get(path + "list", model_name="fraud")
    changed = owners.patch(path + "update", id=made["id"], events=["MODEL_VERSION_TAG_SET"], status="ACTIVE")["webhook"]
    assert changed == {
        **made, "events": ["MODEL_VERSION_TAG_SET"], "status": "ACTIVE",
        "last_updated_timestamp": changed["last_updated_timestamp"],
    }  # fmt: skip
    assert owners._ok(owners.send("DELETE", path + "delete", query={"id": made["id"]})) == {}
    assert owners.get(path + "list") == {"webhooks": []}
    assert owners.refused("DELETE", path + "delete", {"id": made["id"]})[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


def test_what_is_absent_stays(owners: Door) -> None:
    made = create(owners, description="to chat")

    changed = owners.patch(PATH + "update", id=made["id"], http_url_spec={"url": URL + "/2"})["webhook"]

    assert (changed["http_url_spec"]["url"], changed["description"], changed["events"]) == (
        URL + "/2", "to chat", ["COMMENT_CREATED"],
    )  # fmt: skip
    channel = Channel.objects.get()
    assert (decrypt(channel.secret), decrypt(channel.authorization)) == ("geheim", "Bearer hunter2")
    owners.patch(PATH + "update", id=made["id"], http_url_spec={"url": URL, "secret": "", "authorization": ""})
    channel.refresh_from_db()
    assert (channel.secret, channel.authorization) == ("", "")


def test_a_job_takes_the_place_of_an_address_and_back_and_no_secret_is_inherited(owners: Door) -> None:
    made = create(owners)

    job = owners.patch(PATH + "update", id=made["id"], job_spec=JOB)["webhook"]
    assert job["job_spec"] == {"job_id": "42", "workspace_url": "https://ws.example.com"}
    assert "http_url_spec" not in job
    channel = Channel.objects.get()
    assert (channel.secret, decrypt(channel.authorization)) == ("", "Bearer hunter2")
    owners.patch(PATH + "update", id=made["id"], job_spec={"job_id": 43})
    http = owners.patch(PATH + "update", id=made["id"], http_url_spec={"url": URL})["webhook"]

    assert http["http_url_spec"]["url"] == URL and "job_spec" not in http
    channel.refresh_from_db()
    assert (channel.job_id, channel.authorization) == (0, "")


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"events": None}, "at least one event"), ({"events": []}, "at least one event"),
        ({"events": "COMMENT_CREATED"}, "Value was of type 'str'"), ({"events": ["X"]}, "There is no event 'X'"),
        ({"events": ["REGISTERED_MODEL_CREATED"]}, "leave out the model's name"),
        ({"http_url_spec": None}, "exactly one of"), ({"job_spec": JOB}, "exactly one of"),
        ({"http_url_spec": "x"}, "Value was of type 'str'"), ({"http_url_spec": {}}, "'http_url_spec.url'"),
        ({"http_url_spec": {"url": "http://e.com/"}}, "OUTBOUND_ALLOW"),
        ({"http_url_spec": {"url": "https://127.0.0.1/"}}, "inner address"),
        ({"http_url_spec": {"url": URL, "enable_ssl_verification": False}}, "whose certificate it cannot verify"),
        ({"http_url_spec": {"url": URL, "authorization": "a\nb"}}, "printable"),
        ({"http_url_spec": {"url": URL, "secret": "x" * 1001}}, "at most 1000"),
        ({"http_url_spec": None, "job_spec": {"job_id": 1, "access_token": "x"}}, "no Databricks workspace"),
        ({"http_url_spec": None, "job_spec": {**JOB, "job_id": "x"}}, "'job_spec.job_id'"),
        ({"http_url_spec": None, "job_spec": {**JOB, "job_id": -1}}, "'job_spec.job_id'"),
        ({"http_url_spec": None, "job_spec": {**JOB, "access_token": ""}}, "'job_spec.access_token'"),
        ({"http_url_spec": None, "job_spec": {**JOB, "workspace_url": "http://ws.example.com"}}, "OUTBOUND_ALLOW"),
        ({"status": "OFF"}, "must be one of ACTIVE, TEST_MODE, DISABLED"), ({"description": "x" * 1001}, "at most"),
        ({"model_name": 5}, "Value was of type 'int'"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_a_400_and_makes_nothing(fields: dict[str, Any], said: str, owners: Door) -> None:
    status, code, message = owners.refused("POST", PATH + "create", {**FIELDS, **fields})

    assert (status, code) == (400, "INVALID_PARAMETER_VALUE") and said in message, message
    assert not Channel.objects.exists()


def test_who_does_not_manage_the_model_is_refused(owners: Door, reader: Door, admin: User) -> None:
    made = create(owners)
    known = {"id": made["id"]}

    for method, call, body in (
        ("POST", "create", FIELDS), ("PATCH", "update", known), ("DELETE", "delete", known), ("POST", "test", known),
    ):  # fmt: skip
        assert reader.refused(method, PATH + call, body)[:2] == (403, "PERMISSION_DENIED")
    assert reader.refused("GET", PATH + "list", query={"model_name": "fraud"})[0] == 403
    assert reader.get(PATH + "list") == {"webhooks": []}
    assert owners.refused("POST", PATH + "create", {**FIELDS, "model_name": None})[:2] == (403, "PERMISSION_DENIED")
    assert "model_name" not in create(Door(admin), model_name=None)
    assert owners.refused("POST", PATH + "create", {**FIELDS, "model_name": "nothing"})[0] == 404


def test_pages_end_and_events_choose(owners: Door, admin: User) -> None:
    for kinds in (["COMMENT_CREATED"], ["MODEL_VERSION_CREATED", "COMMENT_CREATED"], ["MODEL_VERSION_TAG_SET"]):
        create(owners, events=kinds)

    page = owners.get(PATH + "list", max_results=2)
    rest = owners.get(PATH + "list", max_results=2, page_token=page["next_page_token"])
    assert [len(page["webhooks"]), len(rest["webhooks"])] == [2, 1] and "next_page_token" not in rest
    chosen = owners.get(PATH + "list", events=["COMMENT_CREATED", "MODEL_VERSION_TRANSITIONED_STAGE"])["webhooks"]
    assert [hook["events"] for hook in chosen] == [["COMMENT_CREATED", "MODEL_VERSION_CREATED"], ["COMMENT_CREATED"]]
    assert owners.refused("GET", PATH + "list", query={"events": "X"})[0] == 400
    for query in ({"max_results": 0}, {"max_results": 1001}, {"page_token": "x"}):
        assert owners.refused("GET", PATH + "list", query=query)[0] == 400


def test_a_test_answers_what_the_receiver_said(owners: Door, receiver: Receiver) -> None:
    made = create(owners, http_url_spec={"url": receiver.url}, status="TEST_MODE")
    receiver.status, receiver.said = 418, "teapot"

    assert owners.post(PATH + "test", id=made["id"]) == {"status_code": 418, "body": "teapot"}
    assert receiver.posts[0]["event"] == "COMMENT_CREATED"
    owners.post(PATH + "test", id=made["id"], event="MODEL_VERSION_TAG_SET")
    assert receiver.posts[1]["event"] == "MODEL_VERSION_TAG_SET"
    assert owners.refused("POST", PATH + "test", {"id": made["id"], "event": "X"})[0] == 400
    owners.patch(PATH + "update", id=made["id"], status="DISABLED")
    assert owners.refused("POST", PATH + "test", {"id": made["id"]})[0] == 400
    assert len(receiver.calls) == 2


def test_a_test_of_a_receiver_that_is_not_there_says_why(owners: Door, receiver: Receiver) -> None:
    made = create(owners, http_url_spec={"url": "http://127.0.0.1:9/"})

    answer = owners.post(PATH + "test", id=made["id"])

    assert "could not be reached" in answer["body"] and "status_code" not in answer


@pytest.mark.parametrize("webhook_id", ["", "x", "0" * 32, "../create", "\x00"])
def test_an_id_of_nobody_is_refused(webhook_id: str, owners: Door) -> None:
    for method, call in (("PATCH", "update"), ("DELETE", "delete"), ("POST", "test")):
        assert owners.refused(method, PATH + call, {"id": webhook_id})[0] in (400, 404)


def test_no_secret_is_in_an_answer_an_event_or_our_own_api(owners: Door, admin: User) -> None:
    made = create(owners)
    create(owners, http_url_spec=None, job_spec=JOB)
    office = Door(admin)
    said = json.dumps([made, owners.get(PATH + "list"), office.get("/api/v1/channels/"), list(Event.objects.values())],
                      default=str)  # fmt: skip

    assert "geheim" not in said and "hunter2" not in said
    shown = [(item["model"], item["form"], item["job_id"]) for item in office.get("/api/v1/channels/")["items"]]
    assert shown == [("fraud", "databricks", 42), ("fraud", "databricks", 0)]
