"""Webhooks of one model: whose they are, and that they follow the model and not its name."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries, Settings

from accounts import services as accounts
from accounts.models import Grant, Level, User
from core.errors import Conflict, Invalid, NotFound, NotPermitted
from notifications.models import Channel, Delivery, Event
from notifications.tasks import drain
from registry import services, webhooks
from registry.models import RegisteredModel
from tests.cast import person
from tests.receivers import Receiver

pytestmark = pytest.mark.django_db
URL = "https://hooks.example.com/x"
EVENTS = ["MODEL_VERSION_CREATED"]


@pytest.fixture
def owner(db: None) -> User:
    """She made the model, so that she manages it."""
    return person("olga")


@pytest.fixture
def model(owner: User) -> RegisteredModel:
    return services.create_model(actor=owner, name="fraud")


def create(actor: User, model: RegisteredModel | None, **fields: Any) -> Channel:
    return webhooks.create_webhook(actor=actor, model=model, **{"target": URL, "kinds": EVENTS, **fields})


def test_who_manages_a_model_has_webhooks_of_it(owner: User, model: RegisteredModel) -> None:
    channel = create(owner, model)
    webhooks.update_webhook(actor=owner, channel=channel, kinds=["COMMENT_CREATED"])
    found = webhooks.get_webhook(owner, str(channel.key))
    webhooks.delete_webhook(actor=owner, channel=found)

    assert found.kinds == ["COMMENT_CREATED"] and found.model_id == model.pk
    assert list(webhooks.webhooks_managed_by(owner)) == []
    assert Event.objects.filter(kind__startswith="channel.", actor=owner).count() == 3


@pytest.mark.parametrize("level", [level for level in Level if Level.NONE < level < Level.MANAGE])
def test_less_than_managing_is_not_enough(level: Level, owner: User, model: RegisteredModel) -> None:
    channel, other = create(owner, model), person("other", level=level)
    before = list(Channel.objects.values())

    for act in (
        lambda: create(other, model),
        lambda: webhooks.webhooks_managed_by(other, model=model),
        lambda: webhooks.get_webhook(other, str(channel.key)),
        lambda: webhooks.update_webhook(actor=other, channel=channel, description="mine"),
        lambda: webhooks.try_webhook(actor=other, channel=channel),
        lambda: webhooks.delete_webhook(actor=other, channel=channel),
    ):
        with pytest.raises(NotPermitted):
            act()

    assert list(Channel.objects.values()) == before
    assert list(webhooks.webhooks_managed_by(other)) == []


def test_managing_every_model_is_not_enough_for_the_whole_registry(admin: User) -> None:
    manager = person("manager", level=Level.MANAGE)

    with pytest.raises(NotPermitted):
        create(manager, None)
    wide = create(admin, None)

    with pytest.raises(NotPermitted):
        webhooks.update_webhook(actor=manager, channel=wide, description="mine")
    assert list(webhooks.webhooks_managed_by(manager)) == []
    assert list(webhooks.webhooks_managed_by(admin)) == [wide]


def test_who_may_read_the_model_no_more_finds_its_webhook_no_more(
    owner: User, model: RegisteredModel, admin: User, settings: Settings
) -> None:
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    channel = create(owner, model)
    Grant.objects.all().delete()
    gone = User.objects.get(pk=owner.pk)

    with pytest.raises(NotFound):
        webhooks.get_webhook(gone, str(channel.key))
    with pytest.raises(NotFound):
        webhooks.delete_webhook(actor=gone, channel=channel)
    assert list(webhooks.webhooks_managed_by(gone)) == []
    assert list(webhooks.channels_visible_to(gone)) == []
    assert list(webhooks.webhooks_managed_by(admin, model=model)) == [channel]  # it goes on
    assert list(webhooks.channels_visible_to(admin)) == [channel]


def test_a_list_takes_the_same_statements_however_many_models(
    owner: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        create(owner, services.create_model(actor=owner, name=f"m-{number}"))
    asking = User.objects.get(pk=owner.pk)

    with django_assert_num_queries(2):  # the grants, and the webhooks
        assert len(webhooks.webhooks_managed_by(asking)) == 5


def test_a_webhook_of_one_model_cannot_wait_for_new_models(owner: User, model: RegisteredModel) -> None:
    with pytest.raises(Invalid, match="REGISTERED_MODEL_CREATED"):
        create(owner, model, kinds=["REGISTERED_MODEL_CREATED"])
    channel = create(owner, model)
    with pytest.raises(Invalid, match="REGISTERED_MODEL_CREATED"):
        webhooks.update_webhook(actor=owner, channel=channel, kinds=["REGISTERED_MODEL_CREATED"])


def test_a_disabled_webhook_is_not_tried(owner: User, model: RegisteredModel) -> None:
    channel = create(owner, model, is_active=False)

    with pytest.raises(Invalid, match="disabled"):
        webhooks.try_webhook(actor=owner, channel=channel)
    assert not Delivery.objects.exists()


def test_a_model_has_so_many_and_no_more(owner: User, model: RegisteredModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MOST_OF_A_MODEL", 2)
    first, _ = create(owner, model), create(owner, model)

    with pytest.raises(Conflict, match="at most 2"):
        create(owner, model)
    webhooks.delete_webhook(actor=owner, channel=first)
    create(owner, model)


def test_it_hears_of_its_model_alone_and_follows_it(receiver: Receiver, owner: User, model: RegisteredModel) -> None:
    create(owner, model, target=receiver.url)
    other = services.create_model(actor=owner, name="other")
    services.create_version(actor=owner, model=other, source="s3://b/m")
    services.create_version(actor=owner, model=model, source="s3://b/m")
    services.rename_model(actor=owner, model=model, new_name="rating")
    taken = services.create_model(actor=owner, name="fraud")
    services.create_version(actor=owner, model=taken, source="s3://b/m")
    services.create_version(actor=owner, model=model, source="s3://b/m")

    drain()  # only now: which model it was is known from when it happened

    assert [(post["model_name"], post["version"]) for post in receiver.posts] == [("fraud", "1"), ("rating", "2")]


def test_it_ends_with_its_model(receiver: Receiver, owner: User, model: RegisteredModel, admin: User) -> None:
    channel, wide = create(owner, model, target=receiver.url), create(admin, None)
    of_other = create(owner, services.create_model(actor=owner, name="other"))
    services.create_version(actor=owner, model=model, source="s3://b/m")
    services.delete_model(actor=owner, model=model)
    drain()

    again = services.create_model(actor=owner, name="fraud")
    services.create_version(actor=owner, model=again, source="s3://b/m")
    drain()

    ended = Channel.objects.get(pk=channel.pk)
    assert ended.deleted_at is not None and (ended.target, ended.secret, ended.authorization) == ("", "", "")
    assert set(webhooks.webhooks_managed_by(admin)) == {wide, of_other}
    assert receiver.calls == []
    assert Event.objects.get(kind="channel.deleted").actor == owner
    with pytest.raises(NotFound):
        webhooks.get_webhook(admin, str(channel.key))
    with pytest.raises(NotFound):
        create(owner, model)


def test_every_event_of_a_model_says_which(owner: User, model: RegisteredModel) -> None:
    version = services.create_version(actor=owner, model=model, source="s3://b/m", description="x", tags={"a": "b"})
    services.update_model(actor=owner, model=model, description="x")
    services.update_version(actor=owner, version=version, description="y")
    services.set_model_tag(actor=owner, model=model, key="a", value="b")
    services.delete_model_tag(actor=owner, model=model, key="a")
    services.set_version_tag(actor=owner, version=version, key="a", value="b")
    services.delete_version_tag(actor=owner, version=version, key="a")
    services.set_alias(actor=owner, version=version, alias="live")
    services.delete_alias(actor=owner, model=model, alias="live")
    services.move_to_stage(actor=owner, version=version, stage="Staging")  # type: ignore[arg-type]
    services.delete_version(actor=owner, version=version)
    services.rename_model(actor=owner, model=model, new_name="rating")
    services.delete_model(actor=owner, model=model)

    told = Event.objects.exclude(model_name="")
    assert {event.model_id for event in told} == {model.pk}
    assert told.count() == 14


def test_granting_is_enough_to_take_over_a_webhook(owner: User, model: RegisteredModel) -> None:
    channel, heir = create(owner, model), person("heir")
    accounts.grant(actor=owner, level=Level.MANAGE, user=heir, model_id=model.pk)

    assert webhooks.get_webhook(heir, str(channel.key)) == channel
    assert list(webhooks.webhooks_managed_by(heir)) == [channel]


def test_a_token_for_some_models_reaches_the_webhooks_of_those_alone(owner: User, model: RegisteredModel) -> None:
    channel = create(owner, model)
    of_other = create(owner, services.create_model(actor=owner, name="other"))
    limited = User.objects.get(pk=owner.pk)
    limited.reach = "oth*"

    assert list(webhooks.webhooks_managed_by(limited)) == [of_other]
    with pytest.raises(NotFound):
        webhooks.get_webhook(limited, str(channel.key))
