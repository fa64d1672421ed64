"""Channels of every kind through our own API: for administrators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import User
from core.crypto import decrypt
from notifications import services
from notifications.models import Channel, Delivery
from notifications.tasks import drain
from registry import services as registry
from tests.cast import Api
from tests.factories import make_version
from tests.receivers import Receiver

Client = Callable[..., Api]
WEBHOOK = {"kind": "webhook", "name": "deploy", "target": "https://deploy.example.com/x0y1z2"}


def test_a_channel_is_made_tried_and_switched_off(api: Client, admin: User) -> None:
    client = api(admin)
    made = client.post("channels/", {"kind": "email", "name": "ops", "target": "ops@example.com"})

    tried = client.post(f"channels/{made.json()['id']}/test/")
    off = client.patch(f"channels/{made.json()['id']}/", {"is_active": False})

    assert (made.status_code, tried.status_code, off.json()["is_active"]) == (201, 201, False)
    assert (made.json()["form"], made.json()["secret"], made.json()["has_secret"]) == ("", None, False)
    assert "ops@example.com" not in made.content.decode() + client.get("channels/").content.decode()
    assert client.post("channels/", {"kind": "email", "name": "ops", "target": "nowhere"}).status_code == 400


def test_a_stage_transition_reaches_the_webhook_that_asked_for_it(api: Client, admin: User, settings: Settings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with Receiver() as receiver:
        wish = {**WEBHOOK, "target": receiver.url, "kinds": ["transition.applied"], "models_glob": "churn-*"}
        assert api(admin).post("channels/", wish).status_code == 201
        for name in ("churn-predictor", "fraud-detector"):
            registry.move_to_stage(actor=admin, version=make_version(name), stage="Production")
        drain()

    (post,) = receiver.posts
    assert (post["type"], post["model"], post["data"]["target"]) == (
        "transition.applied",
        "churn-predictor",
        "Production",
    )


def test_a_webhook_shows_the_secret_that_was_made_for_it_once(api: Client, admin: User) -> None:
    client = api(admin)
    made = client.post("channels/", WEBHOOK, headers={"Idempotency-Key": "once"})
    again = client.post("channels/", WEBHOOK, headers={"Idempotency-Key": "once"})
    pk, secret = made.json()["id"], made.json()["secret"]

    assert decrypt(Channel.objects.get().secret) == secret
    assert (made.json()["form"], made.json()["has_secret"]) == ("standard", True)
    assert again.status_code == 409
    shown = [
        client.get("channels/"),
        client.get(f"channels/{pk}/"),
        client.patch(f"channels/{pk}/", {"name": "d"}),
        again,
    ]
    assert not any(secret in answer.content.decode() or "x0y1z2" in answer.content.decode() for answer in shown)

    new = client.post(f"channels/{pk}/secret/").json()["secret"]
    assert new != secret and decrypt(Channel.objects.get().secret) == new


def test_a_secret_that_is_given_is_not_shown(api: Client, admin: User) -> None:
    secret = "whsec_" + "A" * 40
    made = api(admin).post("channels/", {**WEBHOOK, "secret": secret})

    assert (made.status_code, made.json()["secret"], made.json()["has_secret"]) == (201, None, True)
    assert secret not in made.content.decode()


def test_all_of_a_channel_is_changed(api: Client, admin: User) -> None:
    client = api(admin)
    pk = client.post("channels/", WEBHOOK).json()["id"]
    wish = {
        "name": "live",
        "description": "For all.",
        "models_glob": "churn-*",
        "kinds": ["tag.set"],
        "is_active": False,
    }

    changed = client.patch(f"channels/{pk}/", {**wish, "target": "https://live.example.com/"}).json()

    assert {field: changed[field] for field in wish} == wish
    assert client.get(f"channels/{pk}/").json() == changed
    assert changed["updated_at"] > changed["created_at"]
    assert decrypt(Channel.objects.get().target) == "https://live.example.com/"


def test_a_channel_is_deleted_and_its_deliveries_stay(api: Client, admin: User) -> None:
    client = api(admin)
    pk = client.post("channels/", WEBHOOK).json()["id"]
    client.post(f"channels/{pk}/test/")

    assert client.delete(f"channels/{pk}/").status_code == 204

    assert client.get("channels/").json()["items"] == []
    for answer in (
        client.get(f"channels/{pk}/"),
        client.delete(f"channels/{pk}/"),
        client.patch(f"channels/{pk}/", {}),
    ):
        assert answer.status_code == 404
    assert [item["channel"] for item in client.get("deliveries/").json()["items"]] == ["deploy"]


def test_webhooks_of_mlflows_form_are_there_too(api: Client, admin: User) -> None:
    client = api(admin)
    made = client.post("channels/", {**WEBHOOK, "form": "mlflow", "kinds": ["prompt.created"]})

    assert (made.status_code, made.json()["form"], made.json()["secret"]) == (201, "mlflow", None)
    assert client.patch(f"channels/{made.json()['id']}/", {"kinds": ["transition.applied"]}).status_code == 400
    assert client.patch(f"channels/{made.json()['id']}/", {"kinds": []}).status_code == 400


@pytest.mark.parametrize(
    "wish",
    [
        {"kind": "pigeon"}, {"kind": "slack", "form": "mlflow"}, {"kind": "slack", "secret": "x"},
        {"form": "databricks"}, {"form": "mlflow"},
        {"secret": "short"}, {"kinds": ["no.such"]}, {"kinds": "tag.set"}, {"target": ""},
        {"target": "http://deploy.example.com/"}, {"target": "https://127.0.0.1/"}, {"name": ""}, {"key": "mine"},
        {"description": "x" * 1001}, {"models_glob": ""}, {"is_active": "perhaps"},
    ],
)  # fmt: skip
def test_what_cannot_be_is_a_400_and_leaves_nothing(wish: dict[str, Any], api: Client, admin: User) -> None:
    answer = api(admin).post("channels/", {**WEBHOOK, **wish})

    assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid"
    assert not Channel.objects.exists()


def test_other_channels_get_no_secret(api: Client, admin: User) -> None:
    client = api(admin)
    pk = client.post("channels/", {"kind": "email", "name": "ops", "target": "ops@example.com"}).json()["id"]

    assert client.post(f"channels/{pk}/secret/").status_code == 400
    assert Channel.objects.get().secret == ""


def test_a_mailbox_of_a_person_is_no_channel_of_the_list(api: Client, admin: User, mira: User) -> None:
    mailbox = Channel.objects.create(kind="email", name="Mail to mira", user=mira, target="")

    assert api(admin).get("channels/").json()["items"] == []
    assert api(admin).get(f"channels/{mailbox.pk}/").status_code == 404


def test_channels_are_for_administrators(api: Client, admin: User, sam: User) -> None:
    channel = services.create_channel(actor=admin, kind="email", name="ops", target="ops@example.com")
    client, path = api(sam), f"channels/{channel.pk}/"

    answers = [
        client.get("channels/"), client.post("channels/", WEBHOOK), client.get(path), client.patch(path, {"name": "x"}),
        client.delete(path), client.post(f"{path}test/"), client.post(f"{path}secret/"), client.get("channels/9999/"),
    ]  # fmt: skip

    assert [answer.status_code for answer in answers] == [403] * len(answers)
    assert list(Channel.objects.values_list("name", "is_active", "secret")) == [("ops", True, "")]
    assert not Delivery.objects.exists()
