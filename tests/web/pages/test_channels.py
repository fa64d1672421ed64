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


def test_a_channel_hears_of_the_events_that_were_chosen(admin: User, session: Session) -> None:
    session(admin).post("/channels/new/", FORM | {"kinds": ["transition.applied", "tag.set"]})

    assert Channel.objects.get().kinds == ["tag.set", "transition.applied"]
    assert "only tag.set, transition.applied" in session(admin).get("/channels/").content.decode()


def test_a_refused_form_keeps_the_chosen_events(admin: User, session: Session) -> None:
    page = session(admin).post("/channels/new/", FORM | {"name": "", "kinds": ["tag.set"]}).content.decode()

    assert 'value="tag.set" checked' in page
    assert "secret" not in page


def test_a_test_message_stands_among_the_deliveries(admin: User, session: Session) -> None:
    page = session(admin)
    page.post("/channels/new/", FORM)

    shown = page.post(f"/channels/{Channel.objects.get().pk}/test/", follow=True).content.decode()

    assert "tries the channel #ml-releases" in shown
    assert "secret" not in shown


@pytest.mark.parametrize("verb", ["test", "switch"])
def test_a_persons_mailbox_is_no_channel_of_this_page(verb: str, admin: User, mira: User, session: Session) -> None:
    mailbox = Channel.objects.create(kind="email", name="Mail to mira", user=mira, target="")

    assert session(admin).post(f"/channels/{mailbox.pk}/{verb}/", {"to": "off"}).status_code == 404
    assert Channel.objects.get().is_active
