"""Channels: who makes and changes them, what is kept, what is refused."""

from __future__ import annotations

import pytest

from accounts.models import User
from core.crypto import decrypt
from core.errors import Conflict, Invalid, NotPermitted
from notifications import services
from notifications.fanout import fan_out
from notifications.models import Channel, Delivery, Event
from notifications.tasks import drain
from tests.notifications.conftest import delivery_of, happened, slack_channel
from tests.receivers import Receiver

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/services/T0/B0/secret"


def create(actor: User, **fields: object) -> Channel:
    given = {"kind": "slack", "name": "#ml-releases", "target": URL, **fields}
    return services.create_channel(actor=actor, **given)  # type: ignore[arg-type]


def test_an_administrator_makes_a_channel_and_its_address_is_kept_secret(admin: User) -> None:
    channel = create(admin, models_glob="churn-*", kinds=["transition.applied", "transition.applied"])

    assert channel.kinds == ["transition.applied"]
    assert "hooks" not in channel.target
    assert decrypt(channel.target) == URL
    event = Event.objects.get()
    assert (event.kind, event.actor, event.data) == (
        "channel.created", admin, {"channel": "#ml-releases", "transport": "Slack"},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["mira", "alice", "sam", "eve", "ci_bot"])
def test_nobody_else_touches_channels(name: str, admin: User, request: pytest.FixtureRequest) -> None:
    user: User = request.getfixturevalue(name)
    channel = create(admin)
    delivery = delivery_of(happened(), channel, state="failed")
    events = Event.objects.count()

    for act in (
        lambda: create(user, name="mine"),
        lambda: services.update_channel(actor=user, channel=channel, target="https://evil.example.com/"),
        lambda: services.set_channel_active(actor=user, channel=channel, is_active=False),
        lambda: services.test_channel(actor=user, channel=channel),
        lambda: services.send_again(actor=user, delivery=delivery),
    ):
        with pytest.raises(NotPermitted):
            act()

    assert Channel.objects.get() == channel and Channel.objects.get().is_active
    assert Delivery.objects.get().state == "failed"
    assert Event.objects.count() == events


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", "pigeon"), ("kind", ""), ("name", " "), ("name", "x" * 101), ("name", "a\r\nb"), ("name", "a\x00"),
        ("target", ""), ("target", "x" * 2001), ("target", "http://inner/"), ("models_glob", ""),
        ("models_glob", "x" * 257), ("models_glob", "\x00"), ("kinds", ["no.such"]), ("kinds", ["request.opened", ""]),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_by_name_and_leaves_nothing(field: str, value: object, admin: User) -> None:
    with pytest.raises(Invalid) as refused:
        create(admin, **{field: value})

    assert refused.value.field == field
    assert not Channel.objects.exists()
    assert not Event.objects.exists()


def test_a_refusal_does_not_repeat_the_secret(admin: User) -> None:
    with pytest.raises(Invalid) as refused:
        create(admin, target="http://hooks.example.com/services/secret")

    assert "secret" not in refused.value.message


def test_a_change_is_told_by_the_names_of_its_fields(admin: User) -> None:
    channel = create(admin)

    services.update_channel(actor=admin, channel=channel, target=URL + "2", name="#releases", models_glob="*")

    changed = Channel.objects.get()
    assert (changed.name, decrypt(changed.target), changed.models_glob) == ("#releases", URL + "2", "*")
    event = Event.objects.get(kind="channel.updated")
    assert event.data == {"channel": "#releases", "changed": ["name", "target"]}
    assert "secret" not in f"{event.summary}{event.data}"


def test_a_change_of_nothing_is_no_event(admin: User) -> None:
    channel = create(admin)

    services.update_channel(actor=admin, channel=channel, name=channel.name)

    assert not Event.objects.filter(kind="channel.updated").exists()


def test_switching_off_and_on_is_recorded_once_each(admin: User) -> None:
    channel = create(admin)
    for is_active in (True, False, False, True):
        services.set_channel_active(actor=admin, channel=channel, is_active=is_active)

    kinds = list(Event.objects.order_by("id").values_list("kind", flat=True))
    assert kinds == ["channel.created", "channel.disabled", "channel.enabled"]
    assert Channel.objects.get().is_active


def test_switching_on_forgets_why_it_was_off(admin: User) -> None:
    channel = slack_channel(URL, is_active=False, disabled_reason="Slack answered 410")

    services.set_channel_active(actor=admin, channel=channel, is_active=True)

    assert Channel.objects.get().disabled_reason == ""


def test_a_test_goes_to_its_channel_alone(admin: User, slack: Receiver) -> None:
    tried = create(admin, target=slack.url)
    create(admin, name="another", target=slack.url)

    services.test_channel(actor=admin, channel=tried)
    drain()

    (delivery,) = Delivery.objects.all()
    assert (delivery.channel, delivery.state) == (tried, "sent")
    assert "tries the channel #ml-releases" in slack.posts[0]["text"]


def test_a_channel_that_is_off_is_neither_tested_nor_sent_to_again(admin: User) -> None:
    channel = slack_channel(URL, is_active=False)
    failed = delivery_of(happened(), channel, state="failed")

    with pytest.raises(Conflict, match="switch it on"):
        services.test_channel(actor=admin, channel=channel)
    with pytest.raises(Conflict, match="switch it on"):
        services.send_again(actor=admin, delivery=failed)

    assert Delivery.objects.get().state == "failed"


def test_a_persons_own_mailbox_is_not_for_administrators_to_change(admin: User, alice: User) -> None:
    happened(audience=[alice])
    fan_out()
    mailbox = Channel.objects.get()

    with pytest.raises(Conflict, match="own mailbox"):
        services.update_channel(actor=admin, channel=mailbox, target="eve@example.com")
    with pytest.raises(Conflict, match="own mailbox"):
        services.test_channel(actor=admin, channel=mailbox)


def test_people_may_have_sent_again_what_was_for_them(alice: User, sam: User) -> None:
    happened(audience=[alice])
    fan_out()
    Delivery.objects.update(state="failed")

    with pytest.raises(NotPermitted):
        services.send_again(actor=sam, delivery=Delivery.objects.get())
    services.send_again(actor=alice, delivery=Delivery.objects.get())

    assert Delivery.objects.get().state == "pending"
    assert Event.objects.get(kind="delivery.sent_again").actor == alice
