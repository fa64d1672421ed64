"""/channels/: where events go besides people's own mailboxes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from accounts.models import User
from notifications.models import Channel

Session = Callable[[User], Client]
HOOK = "https://hooks.slack.com/services/T0/B0/secret"
FORM = {"kind": "slack", "name": "#ml-releases", "target": HOOK, "models_glob": "churn-*"}


def test_a_channel_is_added_and_its_address_never_shown_again(admin: User, session: Session) -> None:
    page = session(admin).post("/channels/new/", FORM, follow=True).content.decode()

    assert "#ml-releases" in page
    assert "secret" not in page
    assert HOOK not in Channel.objects.get().target


def test_only_administrators_change_channels(admin: User, sam: User, session: Session) -> None:
    session(admin).post("/channels/new/", FORM)
    channel = Channel.objects.get()
    page = session(sam)

    assert page.post("/channels/new/", FORM).status_code == 422
    page.post(f"/channels/{channel.pk}/switch/", {"to": "off"})

    assert Channel.objects.get().is_active
    assert "Only an administrator manages channels." in page.get("/channels/").content.decode()


@pytest.mark.parametrize("change", [{"kind": "fax"}, {"target": "not an address"}, {"name": ""}, {"target": ""}])
def test_what_cannot_be_sent_to_is_refused_and_kept(admin: User, session: Session, change: dict[str, str]) -> None:
    answer = session(admin).post("/channels/new/", FORM | change)

    assert answer.status_code == 422
    assert "churn-*" in answer.content.decode()
    assert not Channel.objects.exists()


def test_a_channel_is_switched_off_and_on(admin: User, session: Session) -> None:
    page = session(admin)
    page.post("/channels/new/", FORM)
    address = f"/channels/{Channel.objects.get().pk}/switch/"

    assert "switched off" in page.post(address, {"to": "off"}, follow=True).content.decode()
    assert "switched off" not in page.post(address, {"to": "on"}, follow=True).content.decode()
