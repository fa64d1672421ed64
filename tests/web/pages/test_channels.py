"""/channels/: where events go besides people's own mailboxes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from core.crypto import decrypt
from notifications.models import Channel
from notifications.services import create_channel
from registry.webhooks import create_webhook
from tests.factories import make_model

Session = Callable[[User], Client]
HOOK = "https://hooks.slack.com/services/T0/B0/x0y1z2"
FORM = {"kind": "slack", "name": "#ml-releases", "target": HOOK, "models_glob": "churn-*"}


def test_a_channel_is_added_and_its_address_never_shown_again(admin: User, session: Session) -> None:
    page = session(admin).post("/channels/new/", FORM, follow=True).content.decode()

    assert "#ml-releases" in page
    assert "x0y1z2" not in page
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
    assert "x0y1z2" not in page


def test_a_test_message_stands_among_the_deliveries(admin: User, session: Session) -> None:
    page = session(admin)
    page.post("/channels/new/", FORM)

    shown = page.post(f"/channels/{Channel.objects.get().pk}/test/", follow=True).content.decode()

    assert "tries the channel #ml-releases" in shown
    assert "x0y1z2" not in shown


@pytest.mark.parametrize("verb", ["test", "switch"])
def test_a_persons_mailbox_is_no_channel_of_this_page(verb: str, admin: User, mira: User, session: Session) -> None:
    mailbox = Channel.objects.create(kind="email", name="Mail to mira", user=mira, target="")

    assert session(admin).post(f"/channels/{mailbox.pk}/{verb}/", {"to": "off"}).status_code == 404
    assert Channel.objects.get().is_active


# -- Webhooks ----------------------------------------------------------------------------------------------------------

WEBHOOK = {"kind": "webhook", "name": "deploy", "target": "https://deploy.example.com/x0y1z2", "models_glob": "*"}


def test_the_secret_of_a_new_webhook_is_shown_once(admin: User, session: Session) -> None:
    page = session(admin)
    answer = page.post("/channels/new/", WEBHOOK | {"kinds": ["transition.applied"]})

    channel = Channel.objects.get()
    secret = decrypt(channel.secret)
    assert (channel.form, channel.kinds) == ("standard", ["transition.applied"])
    assert answer.status_code == 200 and secret in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    for path in ("/channels/", f"/channels/{channel.pk}/"):
        assert secret not in page.get(path).content.decode()


def test_a_webhook_that_is_refused_shows_no_secret(admin: User, session: Session) -> None:
    answer = session(admin).post("/channels/new/", WEBHOOK | {"target": "https://10.0.0.1/"})

    assert answer.status_code == 422
    assert "whsec_" not in answer.content.decode()
    assert not Channel.objects.exists()


def test_a_new_secret_takes_the_place_of_the_old_one(admin: User, session: Session) -> None:
    page = session(admin)
    page.post("/channels/new/", WEBHOOK)
    old = decrypt(Channel.objects.get().secret)

    shown = page.post(f"/channels/{Channel.objects.get().pk}/secret/").content.decode()

    new = decrypt(Channel.objects.get().secret)
    assert new != old and new in shown and old not in shown


# -- Editing and deleting ----------------------------------------------------------------------------------------------


def test_a_channel_is_edited_and_its_address_stays_unless_given(admin: User, session: Session) -> None:
    page = session(admin)
    page.post("/channels/new/", FORM | {"kinds": ["tag.set"]})
    address = f"/channels/{Channel.objects.get().pk}/"
    form = page.get(address).content.decode()
    assert 'value="tag.set" checked' in form and "x0y1z2" not in form

    changed = {"name": "#releases", "description": "For all.", "models_glob": "*", "target": "", "kinds": []}
    assert page.post(address, changed).status_code == 302
    channel = Channel.objects.get()
    assert (channel.name, channel.description, channel.models_glob, channel.kinds) == ("#releases", "For all.", "*", [])
    assert decrypt(channel.target) == HOOK

    page.post(address, changed | {"target": HOOK + "2"})
    assert decrypt(Channel.objects.get().target) == HOOK + "2"


def test_an_edit_that_cannot_be_is_refused_and_kept(admin: User, session: Session) -> None:
    page = session(admin)
    page.post("/channels/new/", FORM)

    answer = page.post(f"/channels/{Channel.objects.get().pk}/", {"name": "", "models_glob": "fraud-*"})

    assert answer.status_code == 422
    assert "fraud-*" in answer.content.decode() and "1 to 100 characters" in answer.content.decode()
    assert Channel.objects.get().name == "#ml-releases"


def test_a_webhook_of_mlflow_is_edited_with_its_own_events(admin: User, session: Session) -> None:
    channel = create_channel(
        actor=admin, kind="webhook", form="mlflow", name="ml", target=HOOK, kinds=["prompt_tag.set"]
    )
    page, address = session(admin), f"/channels/{channel.pk}/"

    assert 'value="prompt_tag.set" checked' in page.get(address).content.decode()
    assert "transition.applied" not in page.get(address).content.decode()
    assert page.post(address, {"name": "ml", "models_glob": "*", "kinds": []}).status_code == 422


def test_a_deleted_channel_is_gone_from_the_page_and_its_deliveries_stay(admin: User, session: Session) -> None:
    page = session(admin)
    page.post("/channels/new/", FORM)
    pk = Channel.objects.get().pk
    page.post(f"/channels/{pk}/test/")

    assert "is deleted" in page.post(f"/channels/{pk}/delete/", follow=True).content.decode()

    assert "#ml-releases</span>" not in page.get("/channels/").content.decode()
    assert "#ml-releases" in page.get("/deliveries/").content.decode()
    assert page.get(f"/channels/{pk}/").status_code == 404
    assert page.post(f"/channels/{pk}/delete/").status_code == 404


def test_nobody_else_edits_or_deletes(admin: User, sam: User, session: Session) -> None:
    session(admin).post("/channels/new/", WEBHOOK)
    before, page = Channel.objects.values().get(), session(sam)
    address = f"/channels/{before['id']}/"

    assert page.get(address).status_code == page.post(address, {"name": "mine"}).status_code == 403
    page.post(f"{address}delete/")
    assert "whsec_" not in page.post(f"{address}secret/", follow=True).content.decode()
    assert Channel.objects.values().get() == before
    assert address not in page.get("/channels/").content.decode()


def test_a_webhook_of_one_model_says_which_to_those_who_may_read_it(
    admin: User, sam: User, eve: User, session: Session, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    model = make_model("fraud")
    hook = {"target": "https://ws.example.com", "kinds": ["COMMENT_CREATED"], "description": "to the job"}
    channel = create_webhook(actor=admin, model=model, job_id=42, authorization="Bearer x0y1z2", **hook)

    page = session(admin).get("/channels/").content.decode()
    assert "Databricks" in page and "runs job 42" in page and 'href="/models/fraud/"' in page
    assert "to the job" in session(sam).get("/channels/").content.decode()
    assert "to the job" not in session(eve).get("/channels/").content.decode()
    detail = session(admin).get(f"/channels/{channel.pk}/").content.decode()
    assert "follows it when it is renamed" in detail and 'name="models_glob"' not in detail
    assert not any(secret in page + detail for secret in ("x0y1z2", "ws.example.com"))


def test_a_webhook_of_one_model_is_edited_and_stays_of_that_model(admin: User, session: Session) -> None:
    hook = {"target": "https://hooks.example.com", "kinds": ["COMMENT_CREATED"], "is_in_test_mode": True}
    channel = create_webhook(actor=admin, model=make_model("fraud"), **hook)
    assert "tests only" in session(admin).get("/channels/").content.decode()

    answer = session(admin).post(
        f"/channels/{channel.pk}/", {"name": "chat", "target": "", "kinds": ["MODEL_VERSION_CREATED"]}
    )

    assert answer.status_code == 302
    kept = Channel.objects.get()
    assert (kept.name, kept.kinds, kept.model_id) == ("chat", ["MODEL_VERSION_CREATED"], channel.model_id)
