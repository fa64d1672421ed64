"""What happened, and what was sent, through our own API."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from accounts.models import User
from approvals.services import publish_policy
from notifications import services as notifications
from notifications.models import Channel, Delivery, Event
from registry import services
from tests.cast import Api

POLICY = "name: p\nmatch: {models: ['x']}\nguards: [stage:Production]\nrequirements: [{approvals: {count: 1}}]\n"


@pytest.fixture
def channel(admin: User) -> Channel:
    return notifications.create_channel(actor=admin, kind="email", name="ops", target="ops@example.com")


def test_events_are_read_the_newest_first(api: Callable[..., Api], mira: User, sam: User) -> None:
    model = services.create_model(actor=mira, name="churn")
    services.set_model_tag(actor=mira, model=model, key="tier", value="critical")

    items = api(sam).get("events/", model="churn").json()["items"]
    created = api(sam).get("events/", kind="registered_model.created").json()["items"]

    assert [item["kind"] for item in items] == ["tag.set", "registered_model.created"]
    assert [(item["actor"], item["model"]) for item in created] == [("mira", "churn")]
    assert api(sam).get("events/", request="x").status_code == 400


def test_what_happened_in_the_house_is_for_administrators(api: Callable[..., Api], admin: User, sam: User) -> None:
    publish_policy(actor=admin, text=POLICY)

    assert [item["kind"] for item in api(admin).get("events/").json()["items"]] == ["policy.published"]
    assert api(sam).get("events/").json()["items"] == []


def test_what_happened_to_hidden_models_is_hidden(
    api: Callable[..., Api], mira: User, eve: User, settings: Any
) -> None:
    services.create_model(actor=mira, name="churn")
    settings.DEFAULT_MODEL_LEVEL = "NONE"

    assert api(eve).get("events/").json()["items"] == []


def test_a_delivery_is_sent_again_once(
    api: Callable[..., Api], channel: Channel, admin: User, mira: User, sam: User
) -> None:
    services.create_model(actor=mira, name="churn")
    delivery = Delivery.objects.create(
        event=Event.objects.get(kind="registered_model.created"), channel=channel, state=Delivery.State.FAILED
    )

    first = api(admin).post(f"deliveries/{delivery.pk}/again/")
    second = api(admin).post(f"deliveries/{delivery.pk}/again/")

    assert (first.status_code, first.json()["state"], second.status_code) == (200, "pending", 409)
    assert api(sam).get("deliveries/").json()["items"] == []
    assert api(sam).post(f"deliveries/{delivery.pk}/again/").status_code == 404
    assert [item["id"] for item in api(admin).get("deliveries/", state="pending").json()["items"]] == [delivery.pk]
