"""Webhooks, through a real HTTP server: who makes them, what arrives, what each answer means, what stays secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.core import serializers
from django.db import IntegrityError, transaction
from mlflow.webhooks.delivery import _generate_hmac_signature
from pytest_django import Settings

from accounts.models import User
from core import outbound
from core.clock import now
from core.crypto import decrypt
from core.errors import Conflict, Invalid, NotFound, NotPermitted
from notifications import services
from notifications.delivery import Outcome
from notifications.forms.standard import new_secret
from notifications.models import Attempt, Channel, Delivery, Event
from notifications.tasks import drain
from tests.notifications.conftest import delivery_of, happened, webhook
from tests.receivers import Call, Receiver

pytestmark = pytest.mark.django_db
URL = "https://deploy.example.com/hook/of-secret-path"
FORMS = ("standard", "mlflow")
CREATED = "model_version.created"


def create(actor: User, **fields: Any) -> Channel:
    given = {"kind": "webhook", "name": "deploy", "target": URL, "secret": new_secret(), **fields}
    return services.create_channel(actor=actor, **given)


def create_mlflow(actor: User, **fields: Any) -> Channel:
    return create(actor, **{"form": "mlflow", "secret": "", "kinds": [CREATED], **fields})


def registered(**data: Any) -> Event:
    fields = {"source": "s3://b/m", "run_id": "", "tags": {}, "description": "", "is_prompt": False}
    return happened(CREATED, **{**fields, **data})


# -- Making and changing -----------------------------------------------------------------------------------------------


def test_a_webhook_has_a_form_a_key_and_nothing_readable(admin: User) -> None:
    secret = new_secret()
    create(admin, secret=secret, description="Deploys.", kinds=["transition.applied"])

    channel = Channel.objects.get()
    assert (channel.form, channel.description, channel.kinds) == ("standard", "Deploys.", ["transition.applied"])
    assert channel.key is not None and channel.created_at == channel.updated_at
    assert (decrypt(channel.target), decrypt(channel.secret)) == (URL, secret)
    assert "example" not in channel.target and "whsec" not in channel.secret
    event = Event.objects.get()
    assert (event.kind, event.data) == ("channel.created", {"channel": "deploy", "transport": "Webhook"})


def test_a_webhook_of_mlflow_may_have_no_secret_and_be_off_from_the_start(admin: User) -> None:
    create_mlflow(admin, is_active=False)

    channel = Channel.objects.get()
    assert (channel.form, channel.secret, channel.is_active, channel.kinds) == ("mlflow", "", False, [CREATED])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("form", "teams"), ("form", " "), ("secret", ""), ("secret", "short"), ("description", "x" * 1001),
        ("description", "a\x00"), ("target", "http://deploy.example.com/"), ("target", "https://10.0.0.1/"),
        ("target", "https://localhost/"), ("target", "https://[::ffff:127.0.0.1]/"), ("target", "https://u:p@e.com/"),
        ("target", "https://169.254.169.254/latest/meta-data"), ("kinds", ["model_version_tag.set"]),
    ],
)  # fmt: skip
def test_what_a_webhook_cannot_have_is_refused_by_name_and_leaves_nothing(
    field: str, value: object, admin: User
) -> None:
    with pytest.raises(Invalid) as refused:
        create(admin, **{field: value})

    assert refused.value.field == field
    assert not Channel.objects.exists() and not Event.objects.exists()


@pytest.mark.parametrize(("field", "value"), [("kinds", []), ("kinds", ["transition.applied"]), ("secret", "x" * 1001)])
def test_what_mlflow_cannot_read_back_is_refused(field: str, value: object, admin: User) -> None:
    with pytest.raises(Invalid) as refused:
        create_mlflow(admin, **{field: value})

    assert refused.value.field == field
    with pytest.raises(Invalid):
        services.update_channel(actor=admin, channel=create_mlflow(admin), **{field: value})  # type: ignore[arg-type]
    assert Channel.objects.get().kinds == [CREATED]


@pytest.mark.parametrize("field", ["form", "secret"])
def test_other_channels_have_neither_form_nor_secret(field: str, admin: User) -> None:
    with pytest.raises(Invalid) as refused:
        create(admin, **{"kind": "slack", "secret": "", field: "standard"})

    assert refused.value.field == field


def test_no_row_is_a_webhook_without_a_form() -> None:
    for fields in ({"kind": "webhook"}, {"kind": "slack", "form": "mlflow", "key": uuid.uuid4()}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Channel.objects.create(name="x", target="", **fields)


def test_all_of_it_can_be_changed_at_once(admin: User) -> None:
    channel = create_mlflow(admin)
    with time_machine.travel("2027-01-01", tick=False):
        changed = services.update_channel(
            actor=admin,
            channel=channel,
            name="staging",
            description="For staging.",
            target=URL + "/2",
            secret="geheim",
            kinds=["prompt.created", CREATED],
            is_active=False,
        )
        assert changed.updated_at == now()

    kept = Channel.objects.get()
    assert (kept.name, kept.description, kept.kinds, kept.is_active) == (
        "staging", "For staging.", [CREATED, "prompt.created"], False,
    )  # fmt: skip
    assert (decrypt(kept.target), decrypt(kept.secret)) == (URL + "/2", "geheim")
    updated, disabled = Event.objects.order_by("id")[1:]
    assert updated.data["changed"] == ["name", "description", "target", "secret", "kinds"]
    assert (disabled.kind, disabled.actor) == ("channel.disabled", admin)


def test_a_secret_of_mlflows_form_can_be_taken_away_and_one_of_ours_cannot(admin: User) -> None:
    services.update_channel(actor=admin, channel=create_mlflow(admin, secret="geheim"), secret="")
    assert Channel.objects.get().secret == ""

    ours = create(admin)
    with pytest.raises(Invalid):
        services.update_channel(actor=admin, channel=ours, secret="")


# -- Deleting ----------------------------------------------------------------------------------------------------------


def test_a_deleted_channel_keeps_its_history_and_none_of_its_secrets(admin: User, receiver: Receiver) -> None:
    channel = create(admin, target=receiver.url, kinds=["request.opened"])
    happened()
    drain()
    waiting = delivery_of(happened("comment.created"), channel)

    services.delete_channel(actor=admin, channel=channel)
    happened()
    drain()

    kept = Channel.objects.get()
    assert kept.deleted_at is not None
    assert (kept.target, kept.secret, kept.is_active) == ("", "", False)
    assert not Channel.objects.shared().exists()
    assert len(receiver.posts) == 1
    states = dict(Delivery.objects.values_list("event__kind", "state"))
    assert states == {"request.opened": "sent", "comment.created": "failed"}
    assert Attempt.objects.get(delivery=waiting).answer == "The channel was deleted."
    event = Event.objects.get(kind="channel.deleted")
    assert (event.actor, event.data) == (admin, {"channel": "deploy", "transport": "Webhook"})


def test_a_deleted_channel_is_not_there_for_anything(admin: User) -> None:
    channel = create_mlflow(admin)
    failed = delivery_of(happened(), channel, state="failed")
    services.delete_channel(actor=admin, channel=channel)
    events = Event.objects.count()

    for act in (
        lambda: services.update_channel(actor=admin, channel=channel, name="again"),
        lambda: services.set_channel_active(actor=admin, channel=channel, is_active=True),
        lambda: services.delete_channel(actor=admin, channel=channel),
        lambda: services.test_channel(actor=admin, channel=channel),
        lambda: services.try_webhook(actor=admin, channel=channel),
    ):
        with pytest.raises(NotFound):
            act()
    with pytest.raises(Conflict, match="deleted"):
        services.send_again(actor=admin, delivery=failed)

    assert Event.objects.count() == events


@pytest.mark.parametrize("name", ["mira", "alice", "sam", "eve", "ci_bot"])
def test_nobody_else_touches_webhooks(name: str, admin: User, request: pytest.FixtureRequest) -> None:
    user: User = request.getfixturevalue(name)
    channel = create_mlflow(admin)
    before = serializers.serialize("json", [*Channel.objects.all(), *Event.objects.all()])

    for act in (
        lambda: create(user),
        lambda: services.update_channel(actor=user, channel=channel, secret="mine"),
        lambda: services.delete_channel(actor=user, channel=channel),
        lambda: services.try_webhook(actor=user, channel=channel),
    ):
        with pytest.raises(NotPermitted):
            act()

    assert serializers.serialize("json", [*Channel.objects.all(), *Event.objects.all()]) == before


# -- What arrives ------------------------------------------------------------------------------------------------------


def is_signed(call: Call, channel: Channel) -> bool:
    """Verified as a receiver does, from what came over the wire alone."""
    secret = decrypt(channel.secret)
    if channel.form == "mlflow":
        message_id, timestamp = call.headers["x-mlflow-delivery-id"], call.headers["x-mlflow-timestamp"]
        expected = _generate_hmac_signature(secret, message_id, timestamp, call.body.decode())
        return call.headers["x-mlflow-signature"] == expected
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = f"{call.headers['webhook-id']}.{call.headers['webhook-timestamp']}.{call.body.decode()}".encode()
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return f"v1,{expected}" in call.headers["webhook-signature"].split()


@pytest.mark.parametrize("form", FORMS)
def test_an_event_arrives_once_signed_and_as_json(form: str, receiver: Receiver) -> None:
    channel = webhook(receiver.url, form=form, secret=new_secret(), kinds=[CREATED])
    registered(description="Ümläut ✓")
    happened("tag.set", key="a", value="b", is_prompt=False)

    drain()

    (call,) = receiver.calls
    assert is_signed(call, channel)
    assert call.headers["content-type"] == "application/json"
    assert "Ümläut ✓" in json.dumps(json.loads(call.body), ensure_ascii=False)
    delivery = Delivery.objects.get()
    assert (delivery.channel, delivery.state) == (channel, "sent")


def test_our_own_form_without_kinds_hears_of_what_people_are_told(receiver: Receiver) -> None:
    webhook(receiver.url)
    for kind in ("transition.applied", "request.opened", "tag.set"):
        happened(kind)

    drain()

    assert [post["type"] for post in receiver.posts] == ["transition.applied", "request.opened"]


def test_each_form_gets_the_same_event_in_its_own_words(receiver: Receiver) -> None:
    ours = webhook(receiver.url, kinds=["tag.set"])
    theirs = webhook(receiver.url, form="mlflow", kinds=["prompt_version_tag.set"])
    happened("tag.set", key="a", value="b", is_prompt=True)
    happened("tag.set", key="a", value="b", is_prompt=False)

    drain()

    assert Delivery.objects.filter(channel=ours).count() == 2
    assert Delivery.objects.filter(channel=theirs).count() == 1
    assert sorted(post.get("type") or post["entity"] for post in receiver.posts) == [
        "prompt_version_tag", "tag.set", "tag.set",
    ]  # fmt: skip


def test_a_webhook_that_is_off_gets_nothing(receiver: Receiver) -> None:
    webhook(receiver.url, form="mlflow", kinds=[CREATED], is_active=False)
    registered()

    drain()

    assert receiver.calls == []
    assert not Delivery.objects.exists()


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(now(), tick=False) as traveller:
        yield traveller


@pytest.mark.parametrize(
    ("form", "id_header", "time_header"),
    [("standard", "webhook-id", "webhook-timestamp"), ("mlflow", "x-mlflow-delivery-id", "x-mlflow-timestamp")],
)
def test_every_try_has_the_same_id_and_body_and_its_own_time(
    form: str, id_header: str, time_header: str, receiver: Receiver, clock: time_machine.Traveller, admin: User
) -> None:
    channel = webhook(receiver.url, form=form, secret=new_secret(), kinds=[CREATED])
    receiver.status = 503
    registered()
    for seconds in (10, 400):
        drain()
        clock.shift(seconds)
    receiver.status = 200
    drain()
    services.send_again(actor=admin, delivery=Delivery.objects.get())
    drain()

    calls = receiver.calls
    assert len(calls) == 4
    assert len({call.headers[id_header] for call in calls}) == 1
    assert len({call.body for call in calls}) == 1
    assert len({call.headers[time_header] for call in calls}) == 3
    assert all(is_signed(call, channel) for call in calls)
    assert Delivery.objects.get().state == "sent"


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("status", "state", "is_on"),
    [(204, "sent", True), (302, "failed", True), (401, "failed", True), (404, "failed", True), (410, "failed", False),
     (408, "pending", True), (429, "pending", True), (500, "pending", True)],
)  # fmt: skip
def test_what_an_answer_means(form: str, status: int, state: str, is_on: bool, receiver: Receiver) -> None:
    webhook(receiver.url, form=form, kinds=[CREATED])
    receiver.status, receiver.said = status, "" if status == 204 else "said so"
    receiver.headers = {"Location": "http://127.0.0.1:1/elsewhere"} if status == 302 else {}
    registered()

    drain()

    assert (Delivery.objects.get().state, Channel.objects.get().is_active) == (state, is_on)
    assert Attempt.objects.get().status_code == status
    assert len(receiver.calls) == 1  # a redirect is not followed


def test_retry_after_is_honoured(receiver: Receiver) -> None:
    webhook(receiver.url, form="mlflow", kinds=[CREATED])
    receiver.status, receiver.headers = 429, {"Retry-After": "600"}
    registered()

    drain()

    assert 590 <= (Delivery.objects.get().next_attempt_at - now()).total_seconds() <= 660


def test_an_inner_address_is_not_called(settings: Settings) -> None:
    """Also where the name led somewhere else when the webhook was made."""
    settings.OUTBOUND_ALLOW = []
    with Receiver() as inner:
        webhook(inner.url.replace("http:", "https:"), kinds=[CREATED])
        registered()

        drain()

    assert inner.calls == []
    assert Delivery.objects.get().state == "failed"
    assert "OUTBOUND_ALLOW" in Attempt.objects.get().answer


# -- Trying one, and waiting for the answer ----------------------------------------------------------------------------


def tried(admin: User, url: str, **fields: Any) -> Outcome:
    return services.try_webhook(actor=admin, channel=webhook(url, form="mlflow", kinds=[CREATED], **fields))


def test_a_try_sends_an_example_and_says_what_was_answered(admin: User, receiver: Receiver) -> None:
    receiver.said = "thank you"

    outcome = tried(admin, receiver.url, secret="geheim", is_active=False)

    assert (outcome.status_code, outcome.answer, outcome.error) == (200, "thank you", None)
    assert receiver.posts[0]["data"]["name"] == "example_model"
    assert is_signed(receiver.calls[0], Channel.objects.get())
    delivery, event = Delivery.objects.get(), Event.objects.get()
    assert (delivery.state, delivery.event, delivery.attempts) == ("sent", event, 1)
    assert (event.kind, event.actor, event.data["example"]) == ("channel.tested", admin, CREATED)
    drain()
    assert len(receiver.calls) == 1


def test_a_try_that_is_refused_is_not_repeated(admin: User, receiver: Receiver) -> None:
    receiver.status, receiver.said = 500, "no"

    outcome = tried(admin, receiver.url)
    drain()

    assert (outcome.status_code, outcome.answer) == (500, "no")
    assert len(receiver.calls) == 1
    assert (Delivery.objects.get().state, Attempt.objects.get().status_code) == ("failed", 500)


def test_a_try_that_reaches_nobody_says_so(admin: User, settings: Settings) -> None:
    settings.OUTBOUND_ALLOW = ["127.0.0.1"]
    with Receiver() as gone:
        url = gone.url

    outcome = tried(admin, url)

    assert outcome.status_code is None and "the connection was refused" in outcome.answer
    assert Delivery.objects.get().state == "failed"


def test_a_try_of_an_inner_address_calls_nobody(admin: User, settings: Settings) -> None:
    settings.OUTBOUND_ALLOW = []
    with Receiver() as inner:
        outcome = tried(admin, inner.url.replace("http:", "https:"))

    assert inner.calls == [] and "OUTBOUND_ALLOW" in outcome.answer


def test_a_try_names_an_event_of_mlflow(admin: User, receiver: Receiver) -> None:
    channel = webhook(receiver.url, form="mlflow", kinds=[CREATED])

    services.try_webhook(actor=admin, channel=channel, example="prompt_alias.created")
    with pytest.raises(Invalid):
        services.try_webhook(actor=admin, channel=channel, example="transition.applied")

    assert [post["entity"] for post in receiver.posts] == ["prompt_alias"]


def test_a_try_waits_no_longer_than_somebody_would(
    admin: User, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    def post(url: str, *, body: bytes, headers: dict[str, str], seconds: float) -> outbound.Answer:
        asked.append(seconds)
        raise outbound.Unreachable("Nothing.")

    monkeypatch.setattr(outbound, "post", post)
    tried(admin, receiver.url)

    assert asked == [5.0]


@pytest.mark.parametrize("form", FORMS)
def test_the_test_of_every_door_is_a_delivery_like_any_other(form: str, admin: User, receiver: Receiver) -> None:
    services.test_channel(actor=admin, channel=webhook(receiver.url, form=form, kinds=[CREATED]))

    drain()

    assert Delivery.objects.get().state == "sent"
    said = receiver.posts[0]
    assert said.get("type") == "channel.tested" or said["data"]["name"] == "example_model"


# -- Secrets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_no_row_and_no_line_of_the_log_holds_the_secret(
    form: str, admin: User, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    secret = new_secret()
    receiver.said = f"I know {secret} and {receiver.url}"
    with caplog.at_level(logging.DEBUG):
        channel = create(admin, form=form, target=receiver.url, secret=secret, kinds=[CREATED])
        services.update_channel(actor=admin, channel=channel, secret=secret, name="deploy2")
        for status in (200, 500, 410):
            receiver.status = status
            registered()
            drain()
            if form == "mlflow":
                services.try_webhook(actor=admin, channel=channel)
        services.delete_channel(actor=admin, channel=channel)

    rows = [*Event.objects.all(), *Channel.objects.all(), *Delivery.objects.all(), *Attempt.objects.all()]
    said = serializers.serialize("json", rows) + caplog.text
    assert Attempt.objects.filter(answer__contains="I know … and").exists()
    for piece in (secret, secret.removeprefix("whsec_"), "/services/T0"):
        assert piece not in said
    assert not any(secret in json.dumps(call.headers) + call.body.decode() for call in receiver.calls)
