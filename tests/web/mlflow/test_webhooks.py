"""Webhooks over the MLflow protocol: MLflow's form alone, for administrators, and never with a secret in an answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from core.crypto import decrypt
from notifications import services
from notifications.models import Channel, Delivery, Event
from tests.receivers import Receiver
from tests.web.mlflow.conftest import Door

URL = "https://deploy.example.com/hook"
CREATED = {"entity": "MODEL_VERSION", "action": "CREATED"}
FIELDS = {"name": "deploy", "url": URL, "events": [CREATED]}


@pytest.fixture
def office(admin: User) -> Door:
    """The door, for an administrator."""
    return Door(admin)


def create(office: Door, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = office.post("webhooks", **{**FIELDS, **fields})["webhook"]
    return made


def test_a_webhook_is_made_read_changed_and_deleted(office: Door) -> None:
    made = create(office, secret="geheim", description="Deploys.")
    path = f"webhooks/{made['webhook_id']}"

    assert made == {
        "webhook_id": str(Channel.objects.get().key),
        "name": "deploy",
        "url": URL,
        "events": [CREATED],
        "status": "ACTIVE",
        "description": "Deploys.",
        "creation_timestamp": made["creation_timestamp"],
        "last_updated_timestamp": made["creation_timestamp"],
    }
    assert office.get(path)["webhook"] == made
    prompt = {"entity": "PROMPT", "action": "CREATED"}
    changed = office.patch(path, name="live", url=URL + "/2", events=[prompt, CREATED], status="DISABLED")["webhook"]
    assert (changed["name"], changed["url"], changed["events"], changed["status"], changed["description"]) == (
        "live", URL + "/2", [CREATED, prompt], "DISABLED", "Deploys.",
    )  # fmt: skip
    assert changed["last_updated_timestamp"] > made["last_updated_timestamp"]
    assert office.delete(path) == {}
    for method, below in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/test")):
        refused = office.refused(method, path + below, None if method == "GET" else {})
        assert refused == (404, "RESOURCE_DOES_NOT_EXIST", f"Webhook with ID {made['webhook_id']} not found.")
    assert office.get("webhooks") == {}


def test_what_is_absent_or_empty_stays(office: Door) -> None:
    made = create(office, secret="geheim", description="Deploys.")
    path = f"webhooks/{made['webhook_id']}"

    assert office.patch(path) == {"webhook": made}
    assert office.patch(path, name="", url="", events=[]) == {"webhook": made}
    assert "description" not in office.patch(path, description="")["webhook"]
    assert decrypt(Channel.objects.get().secret) == "geheim"
    office.patch(path, secret="")
    assert Channel.objects.get().secret == ""


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": None}, "Missing value for required parameter 'name'."),
        ({"url": ""}, "Missing value for required parameter 'url'."),
        ({"events": None}, "Missing value for required parameter 'events'."),
        ({"events": []}, "Webhook events must be a non-empty list of WebhookEvent objects: []."),
        ({"events": "x"}, "Invalid value \"x\" for parameter 'events' supplied:  Hint: Value was of type 'str'."),
        ({"events": ["x"]}, "parameter 'events[0]'"),
        ({"events": [{}]}, "Missing value for required parameter 'events[0].entity'."),
        ({"events": [{"entity": "MODEL_VERSION"}]}, "Missing value for required parameter 'events[0].action'."),
        ({"events": [{"entity": "FOO", "action": "CREATED"}]}, "parameter 'events[0].entity'"),
        ({"events": [{"entity": "TRANSITION", "action": "APPLIED"}]}, "parameter 'events[0].entity'"),
        ({"events": [{"entity": "MODEL_VERSION", "action": "SET"}]},
         "Invalid action 'set' for entity 'model_version'. Valid actions are: ['created']"),
        ({"events": [CREATED, CREATED]}, "given twice"),
        ({"name": "a b"}, "Webhook name 'a b' is invalid."), ({"name": "x" * 64}, "is invalid"),
        ({"name": "a-"}, "is invalid"), ({"name": "a\n"}, "is invalid"), ({"name": "ä"}, "is invalid"),
        ({"name": 5}, "Value was of type 'int'"),
        ({"url": "  "}, "Webhook URL cannot be empty or just whitespace: '  '"),
        ({"url": "ftp://e.com"}, "Invalid webhook URL scheme: 'ftp'. Allowed schemes are: https."),
        ({"url": "http://[x"}, "Invalid webhook URL 'http://[x'"),
        ({"url": "https://"}, "Webhook URL must include a hostname"), ({"url": "http://e.com"}, "OUTBOUND_ALLOW"),
        ({"url": "https://127.0.0.1/"}, "inner address"), ({"url": "https://[::1]/"}, "inner address"),
        ({"url": "https://localhost/"}, "inner address"), ({"url": "https://169.254.169.254/"}, "inner address"),
        ({"url": "https://[64:ff9b::7f00:1]/"}, "inner address"), ({"url": URL + "x" * 2000}, "characters"),
        ({"url": URL + "\x00"}, "NUL"), ({"url": "https://e.com/\r\nHost: x"}, "no address has"),
        ({"status": "FOO"}, "it must be one of ACTIVE, DISABLED"), ({"description": "x" * 1001}, "at most 1000"),
        ({"secret": 5}, "Value was of type 'int'"), ({"secret": "x" * 1001}, "at most 1000"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_a_400_and_changes_nothing(fields: dict[str, Any], said: str, office: Door) -> None:
    status, code, message = office.refused("POST", "webhooks", {**FIELDS, **fields})

    assert (status, code) == (400, "INVALID_PARAMETER_VALUE") and said in message
    assert not Channel.objects.exists()
    (field,) = fields
    if fields[field] in (None, "", []):  # unchanged, in a PATCH
        return
    made = create(office)
    assert office.refused("PATCH", f"webhooks/{made['webhook_id']}", fields)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert office.get(f"webhooks/{made['webhook_id']}")["webhook"] == made


def test_numbers_stand_for_names_as_in_mlflow(office: Door) -> None:
    made = create(office, events=[{"entity": 10, "action": 5}, {"entity": "2", "action": "1"}], status=2)

    assert made["events"] == [{"entity": "BUDGET_POLICY", "action": "EXCEEDED"}, CREATED]
    assert made["status"] == "DISABLED"


def test_pages_are_the_newest_first_and_take_the_same_statements(
    office: Door, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    made = [create(office, name=f"hook{number}")["webhook_id"] for number in range(5)]
    with django_assert_num_queries(2):  # who asks, and the page
        whole = office.get("webhooks")
    first = office.get("webhooks", max_results=2)
    second = office.get("webhooks", max_results=2, page_token=first["next_page_token"])
    create(office, name="meanwhile")
    third = office.get("webhooks", max_results=2, page_token=second["next_page_token"])

    assert [hook["webhook_id"] for hook in whole["webhooks"]] == made[::-1]
    pages = [hook["webhook_id"] for page in (first, second, third) for hook in page["webhooks"]]
    assert pages == made[::-1]
    assert "next_page_token" not in third and "next_page_token" not in whole
    assert len(office.get("webhooks", max_results=0)["webhooks"]) == 6


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ({"max_results": -1}, "max_results must be between 1 and 1000."),
        ({"max_results": 1001}, "max_results must be between 1 and 1000."), ({"max_results": "x"}, "max_results"),
        ({"page_token": "!!"}, "could not base64-decode"), ({"page_token": "YWJj"}, "could not base64-decode"),
        ({"page_token": "WyJ4Il0="}, "page token"), ({"page_token": "WzFd" * 300}, "page token"),
        ({"page_token": "WzksOV0="}, "page token"), ({"page_token": "Wy0xXQ=="}, "page token"),
        ({"page_token": "W3RydWVd"}, "page token"), ({"page_token": "Wzk5OTk5OTk5OTk5OTk5OTk5OTk5XQ=="}, "page token"),
    ],
)  # fmt: skip
def test_a_page_that_is_none_is_a_400(query: dict[str, Any], said: str, office: Door) -> None:
    status, code, message = office.refused("GET", "webhooks", query=query)

    assert (status, code) == (400, "INVALID_PARAMETER_VALUE") and said in message


@pytest.mark.parametrize("webhook_id", ["nonexistent", "1", "None", "x" * 500, "0" * 32])
def test_an_id_of_nobody_is_a_404(webhook_id: str, office: Door) -> None:
    create(office)

    assert office.refused("GET", f"webhooks/{webhook_id}")[:2] == (404, "RESOURCE_DOES_NOT_EXIST")
    assert office.refused("POST", f"webhooks/{webhook_id}/test", {})[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


def test_channels_of_other_kinds_are_not_there(office: Door, admin: User) -> None:
    """A stock client raises while it reads a list in which one webhook has an event that it does not know."""
    ours = services.create_channel(
        actor=admin, kind="webhook", name="ours", target=URL, kinds=["transition.applied"], secret="whsec_" + "A" * 40
    )
    services.create_channel(actor=admin, kind="slack", name="#ml", target=URL)

    assert office.get("webhooks") == {}
    assert office.refused("GET", f"webhooks/{ours.key}")[0] == 404
    assert office.refused("DELETE", f"webhooks/{ours.key}", {})[0] == 404
    assert Channel.objects.shared().count() == 2


def test_webhooks_are_for_administrators(office: Door, mira: User) -> None:
    made, door = create(office), Door(mira)
    path = f"webhooks/{made['webhook_id']}"

    for method, where, body in (
        ("POST", "webhooks", FIELDS), ("GET", "webhooks", None), ("GET", path, None), ("PATCH", path, {"name": "mine"}),
        ("DELETE", path, {}), ("POST", f"{path}/test", {}), ("POST", "webhooks", {}), ("GET", "webhooks/none", None),
    ):  # fmt: skip
        assert door.refused(method, where, body)[:2] == (403, "PERMISSION_DENIED")
    assert office.get("webhooks") == {"webhooks": [made]}


def test_a_test_says_what_was_answered_also_of_one_that_is_off(office: Door, settings: Settings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with Receiver(said="thank you") as receiver:
        made = create(office, url=receiver.url, status="DISABLED")
        path = f"webhooks/{made['webhook_id']}/test"
        fine = office.post(path)
        office.post(path, event={"entity": "PROMPT", "action": "CREATED"})
        receiver.status, receiver.said, receiver.headers = 307, "", {"Location": receiver.url}
        moved = office.post(path)
        receiver.status, receiver.said = 404, "no such hook"
        refused = office.post(path)
    gone = office.post(path)

    assert fine == {"result": {"success": True, "response_status": 200, "response_body": "thank you"}}
    assert moved == {"result": {"success": True, "response_status": 307, "response_body": ""}}
    assert refused == {"result": {"success": False, "response_status": 404, "response_body": "no such hook"}}
    assert gone["result"]["success"] is False and "could not be reached" in gone["result"]["error_message"]
    assert [post["entity"] for post in receiver.posts] == ["model_version", "prompt", "model_version", "model_version"]
    assert Delivery.objects.count() == 5


@pytest.mark.parametrize("event", ["x", {}, {"entity": "PROMPT"}, {"entity": "PROMPT", "action": "SET"}, [5]])
def test_a_test_of_no_event_sends_nothing(event: Any, office: Door) -> None:
    made = create(office)

    assert office.refused("POST", f"webhooks/{made['webhook_id']}/test", {"event": event})[0] == 400
    assert not Delivery.objects.exists()


def test_a_secret_is_in_no_answer_and_no_event(office: Door) -> None:
    made = create(office, secret="geheimnis")
    path = f"webhooks/{made['webhook_id']}"
    answers = [
        made,
        office.get(path),
        office.get("webhooks"),
        office.patch(path, secret="geheimnis2"),
        office.patch(path),
    ]
    refused = office.refused("PATCH", path, {"secret": "geheimnis" * 200})

    assert "geheim" not in json.dumps([answers, refused])
    assert not any("geheim" in f"{event.summary}{event.data}" for event in Event.objects.all())


def test_a_list_is_read_when_the_key_of_an_address_is_gone(office: Door, settings: Settings) -> None:
    made = create(office)
    Channel.objects.update(target="not encrypted with the present key")

    assert [hook["url"] for hook in office.get("webhooks")["webhooks"]] == [""]
    assert office.refused("POST", f"webhooks/{made['webhook_id']}/test", {})[:2] == (409, "RESOURCE_CONFLICT")
    office.patch(f"webhooks/{made['webhook_id']}", url=URL)
    assert office.get("webhooks")["webhooks"][0]["url"] == URL


@pytest.mark.parametrize(("method", "path"), [("PUT", "webhooks"), ("POST", "webhooks/x"), ("GET", "webhooks/x/test")])
def test_other_methods_are_a_405(method: str, path: str, office: Door) -> None:
    assert office.refused(method, path, None if method == "GET" else {})[0] == 405
