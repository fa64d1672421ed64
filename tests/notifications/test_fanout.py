"""Who hears of what."""

from __future__ import annotations

import pytest
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from notifications import services
from notifications.fanout import fan_out
from notifications.models import Channel, Delivery, Event
from tests.notifications.conftest import happened, slack_channel

pytestmark = pytest.mark.django_db


def told(event: Event) -> set[str]:
    return set(Delivery.objects.filter(event=event).values_list("channel__name", flat=True))


def test_each_person_in_the_audience_gets_one_delivery_to_their_mailbox(alice: User, dkim: User, sam: User) -> None:
    event = happened(audience=[alice, dkim])

    fan_out()

    assert told(event) == {"Mail to alice", "Mail to dkim"}
    assert not Channel.objects.filter(user=sam).exists()


def test_a_mailbox_is_made_once_and_holds_no_readable_address(alice: User) -> None:
    happened(audience=[alice])
    fan_out()
    happened("review.approved", audience=[alice])
    fan_out()

    mailbox = Channel.objects.get()
    assert mailbox.user == alice
    assert "alice@" not in mailbox.target


def test_fanning_out_again_makes_nothing_twice(alice: User) -> None:
    event = happened(audience=[alice])
    fan_out()
    Event.objects.update(fanned_out_at=None)  # as if the worker had been killed before it noted this

    assert fan_out() == 1

    assert Delivery.objects.filter(event=event).count() == 1
    assert fan_out() == 0


@pytest.mark.parametrize("change", [{"is_active": False}, {"email": ""}])
def test_people_who_left_or_have_no_address_get_nothing(change: dict[str, object], alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(**change)
    event = happened(audience=[alice])

    fan_out()

    assert told(event) == set()
    assert not Event.objects.filter(fanned_out_at=None).exists()


def test_a_mailbox_that_is_switched_off_gets_nothing(alice: User) -> None:
    happened(audience=[alice])
    fan_out()
    Channel.objects.update(is_active=False)
    event = happened("review.approved", audience=[alice])

    fan_out()

    assert told(event) == set()


@pytest.mark.parametrize("kind", ["tag.set", "model_version.created", "policy.published", "request.needs_changes"])
def test_people_are_not_told_of_everything(kind: str, alice: User) -> None:
    slack_channel("https://hooks.example.com/x")
    event = happened(kind, audience=[alice])

    fan_out()

    assert told(event) == set()
    assert Event.objects.get().fanned_out_at is not None


@pytest.mark.parametrize("kind", ["channel.disabled", "delivery.failed"])
def test_administrators_are_told_of_broken_channels_and_no_channel_is(kind: str, admin: User) -> None:
    slack_channel("https://hooks.example.com/x")
    event = happened(kind, audience=[admin])

    fan_out()

    assert told(event) == {"Mail to admin"}


@pytest.mark.parametrize(
    ("models_glob", "model_name", "hears"),
    [
        ("*", "churn-predictor", True),
        ("churn-*", "churn-predictor", True),
        ("churn-*", "fraud-detector", False),
        ("churn-?", "churn-predictor", False),
        ("Churn-*", "churn-predictor", False),
        ("churn-predictor", "churn-predictor", True),
        ("[c]hurn-predictor", "churn-predictor", False),
        ("[c]*", "[c]hurn", True),
    ],
)
def test_a_shared_channel_hears_of_the_models_it_names(models_glob: str, model_name: str, hears: bool) -> None:
    slack_channel("https://hooks.example.com/x", models_glob=models_glob)
    event = happened(model_name=model_name)

    fan_out()

    assert told(event) == ({"#ml-releases"} if hears else set())


def test_a_shared_channel_that_names_kinds_hears_of_those_alone() -> None:
    slack_channel("https://hooks.example.com/x", kinds=["model_version.created"])
    created, opened = happened("model_version.created"), happened("request.opened")

    fan_out()

    assert told(created) == {"#ml-releases"}
    assert told(opened) == set()


def test_a_shared_channel_that_is_switched_off_hears_nothing() -> None:
    slack_channel("https://hooks.example.com/x", is_active=False)
    event = happened()

    fan_out()

    assert told(event) == set()


def test_many_events_cost_as_many_queries_as_one(
    alice: User, dkim: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    slack_channel("https://hooks.example.com/x")
    for _ in range(60):
        happened(audience=[alice, dkim])

    with django_assert_max_num_queries(12):
        assert fan_out() == 60

    assert Delivery.objects.count() == 180


def test_a_channel_hears_nothing_of_what_happened_before_it_was_switched_on(admin: User) -> None:
    made = services.create_channel(actor=admin, kind="slack", name="late", target="https://hooks.slack.com/x")
    services.set_channel_active(actor=admin, channel=made, is_active=False)
    before = happened()
    services.set_channel_active(actor=admin, channel=made, is_active=True)
    after = happened()

    fan_out()

    assert (told(before), told(after)) == (set(), {"late"})


def test_a_new_channel_hears_nothing_of_what_happened_before(admin: User) -> None:
    before = happened()
    services.create_channel(actor=admin, kind="slack", name="late", target="https://hooks.slack.com/x")

    fan_out()

    assert told(before) == set()
