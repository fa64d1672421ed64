"""What somebody learns of a model they may not read by taking the name that it had, or will have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from core.errors import NotPermitted
from notifications.tasks import drain
from registry import services, webhooks
from tests.cast import Api
from tests.receivers import Receiver

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _closed(settings: Settings) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"


def told(user: User) -> set[str]:
    events: list[dict[str, Any]] = Api(user).get("events/").json()["items"]
    return {event["summary"] for event in events}


def test_a_new_model_does_not_inherit_the_past_of_its_name(
    mira: User, eve: User, admin: User, session: Callable[[User], Client]
) -> None:
    secret = services.create_model(actor=mira, name="secret")
    services.update_model(actor=mira, model=secret, description="A takeover")
    before = told(mira)
    services.delete_model(actor=admin, model=secret)

    services.create_model(actor=eve, name="secret")

    assert told(eve) == {"eve created the model secret."}
    assert len(before) == 2 and not before & told(eve)
    page = session(eve).get("/models/secret/").content.decode()
    people = page.index('id="people-title"')  # the one place for mira: who has a level on every model
    elsewhere = page[:people] + page[page.index("</section>", people) :]
    assert "eve" in elsewhere and "mira" not in elsewhere


def test_a_renamed_model_leaves_nothing_behind_for_who_takes_its_name(mira: User, eve: User, admin: User) -> None:
    secret = services.create_model(actor=mira, name="secret")
    services.rename_model(actor=admin, model=secret, new_name="hidden")
    mine = services.create_model(actor=eve, name="mine")

    services.rename_model(actor=eve, model=mine, new_name="secret")

    assert not any("mira" in summary or "hidden" in summary for summary in told(eve))
    assert any("secret" in summary for summary in told(eve))


def test_who_had_a_name_once_does_not_hear_of_who_has_it_now(mira: User, eve: User) -> None:
    squatter = services.create_model(actor=eve, name="secret")
    services.delete_model(actor=eve, model=squatter)
    assert len(told(eve)) == 2  # one's own, deletion included

    services.create_model(actor=mira, name="secret")

    assert told(eve) == set()


def test_a_webhook_hears_nothing_of_the_next_model_of_its_name(
    mira: User, eve: User, admin: User, receiver: Receiver
) -> None:
    mine = services.create_model(actor=eve, name="secret")
    kept = services.create_model(actor=eve, name="kept")
    hooks = [
        webhooks.create_webhook(actor=eve, model=model, target=receiver.url, kinds=["MODEL_VERSION_CREATED"])
        for model in (mine, kept)
    ]
    services.delete_model(actor=eve, model=mine)
    services.rename_model(actor=eve, model=kept, new_name="elsewhere")

    for name in ("secret", "kept"):
        theirs = services.create_model(actor=mira, name=name)
        services.create_version(actor=mira, model=theirs, source="s3://bucket/theirs")
    drain()

    assert receiver.calls == []
    assert list(webhooks.webhooks_managed_by(eve)) == [hooks[1]]
    assert list(webhooks.webhooks_managed_by(mira)) == []
    with pytest.raises(NotPermitted):
        webhooks.get_webhook(mira, str(hooks[1].key))
