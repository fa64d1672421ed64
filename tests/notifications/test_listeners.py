"""Whom a worker is woken for; what nobody seemed to wait for is found by the sweep all the same."""

from __future__ import annotations

from typing import Any

import pytest
from celery import current_app
from django.db import OperationalError, transaction

from accounts.models import User
from core import jobs
from core.clock import now
from notifications import listeners, services
from notifications.events import DRAIN, ChannelDisabled, ChannelTested, record
from notifications.fanout import fan_out
from notifications.listeners import is_awaited
from notifications.models import Channel, Delivery, Event
from tests.notifications.conftest import happened, slack_channel, webhook

pytestmark = pytest.mark.django_db


@pytest.fixture
def woken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    sent: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **_more: sent.append(name))
    monkeypatch.setitem(jobs._broker, "dead_until", 0.0)
    return sent


def test_an_event_for_people_is_awaited_and_one_for_nobody_is_not(alice: User) -> None:
    assert is_awaited(happened("request.opened", audience=[alice]))
    assert not is_awaited(happened("request.opened"))
    assert not is_awaited(happened("tag.set", audience=[alice]))  # nobody is told of a tag personally


def test_a_channel_awaits_its_kinds_of_its_models() -> None:
    slack_channel("https://hooks.slack.com/x", kinds=["tag.set"], models_glob="churn-*")

    assert is_awaited(happened("tag.set", model_name="churn-predictor"))
    assert not is_awaited(happened("tag.set", model_name="fraud"))
    assert not is_awaited(happened("request.opened"))


def test_a_channel_without_kinds_awaits_what_people_are_told_of() -> None:
    slack_channel("https://hooks.slack.com/x")

    assert is_awaited(happened("request.opened"))
    assert not is_awaited(happened("tag.set"))


@pytest.mark.parametrize("form", Channel.Form.values)
def test_a_webhook_may_await_anything(form: str) -> None:
    webhook("https://example.com/hook", form=form, kinds=["registered_model.created"])

    assert is_awaited(happened("tag.set"))


@pytest.mark.parametrize("state", [{"is_active": False}, {"deleted_at": now()}])
def test_a_channel_that_is_off_or_deleted_awaits_nothing(state: dict[str, Any]) -> None:
    slack_channel("https://hooks.slack.com/x", **state)

    assert not is_awaited(happened("request.opened"))


@pytest.mark.django_db(transaction=True)
def test_a_new_channel_is_woken_for_at_once(admin: User, woken: list[str]) -> None:
    def happen() -> None:
        with transaction.atomic():
            record(ChannelTested(channel="ops"), actor=None)

    happen()  # remembers that there is no channel
    assert woken == []

    services.create_channel(
        actor=admin, kind="slack", name="ops", target="https://hooks.slack.com/x", kinds=["channel.tested"]
    )
    happen()

    assert woken == [DRAIN]


@pytest.mark.django_db(transaction=True)
def test_what_woke_nobody_is_sent_by_the_sweep(woken: list[str]) -> None:
    with transaction.atomic():
        record(ChannelDisabled(channel="other"), actor=None)
    channel = slack_channel("https://hooks.slack.com/x", kinds=["channel.disabled"])  # nobody forgot what they knew
    with transaction.atomic():
        record(ChannelTested(channel="ops"), actor=None)

    assert fan_out() == 2

    assert [delivery.channel for delivery in Delivery.objects.all()] == [channel]
    assert not Event.objects.filter(fanned_out_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_a_test_message_wakes_a_worker_whatever_the_channel_hears_of(admin: User, woken: list[str]) -> None:
    channel = slack_channel("https://hooks.slack.com/x", kinds=["tag.set"])

    services.test_channel(actor=admin, channel=channel)

    assert woken == [DRAIN]


@pytest.mark.django_db(transaction=True)
def test_a_database_that_fails_after_the_commit_is_not_the_users_trouble(
    woken: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_event: Event) -> bool:
        raise OperationalError("gone")

    monkeypatch.setattr(listeners, "is_awaited", fail)
    with transaction.atomic():
        record(ChannelTested(channel="ops"), actor=None)

    assert (Event.objects.count(), woken) == (1, [DRAIN])
