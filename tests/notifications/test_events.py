"""Recording: with the change or not at all; and what the public list of kinds promises."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from celery import current_app
from django.conf import settings
from django.db import transaction
from kombu.exceptions import OperationalError
from pytest_django import DjangoCaptureOnCommitCallbacks
from redis.exceptions import ConnectionError as RedisConnectionError

from accounts import events as of_accounts
from accounts.models import User
from approvals import events as of_approvals
from core import jobs
from notifications import events
from notifications.events import DRAIN, Announcement, ChannelDisabled, ChannelTested, record
from notifications.listeners import HOUSEKEEPING, NAMED, TOLD
from notifications.models import Event
from notifications.tasks import drain
from registry import events as of_registry

HEARD = ChannelDisabled(channel="ops")  # administrators are told personally
DOCS = Path(settings.BASE_DIR, "docs", "events.md").read_text()


def test_an_event_is_recorded_with_its_actor_and_without_telling_them(mira: User, alice: User) -> None:
    with transaction.atomic():
        event = record(ChannelTested(channel="ops"), actor=mira, audience=[mira.pk, alice.pk, alice.pk])

    assert event.actor == mira
    assert event.audience == [alice.pk]
    assert event.summary.startswith("mira ")
    assert event.fanned_out_at is None


@pytest.mark.django_db(transaction=True)
def test_an_event_outside_a_transaction_is_refused() -> None:
    with pytest.raises(RuntimeError, match="outside a transaction"):
        record(ChannelTested(channel="ops"), actor=None)

    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_rolled_back_leaves_no_event_and_wakes_nobody(broker: list[str]) -> None:

    def change() -> None:
        with transaction.atomic():
            record(ChannelTested(channel="ops"), actor=None)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        change()

    assert not Event.objects.exists()
    assert broker == []


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the tasks that were sent; a broker that nobody has found dead yet."""
    sent: list[str] = []
    monkeypatch.setattr(current_app, "send_task", lambda name, **_more: sent.append(name))
    monkeypatch.setitem(jobs._broker, "dead_until", 0.0)
    return sent


@pytest.mark.parametrize("error", [OperationalError("no broker"), ConnectionRefusedError()])
def test_a_dead_broker_is_not_the_users_trouble(
    error: Exception,
    broker: list[str],
    db: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    tried: list[object] = []

    def refuse(*args: object, **_more: object) -> None:
        tried.append(args)
        raise error

    monkeypatch.setattr(current_app, "send_task", refuse)
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        record(HEARD, actor=None, audience=[1])
        record(HEARD, actor=None, audience=[1])

    assert Event.objects.count() == 2
    assert "broker_unreachable" in caplog.text
    assert len(tried) == 1  # asking costs time: nobody asks again for a while


def test_a_broker_that_is_back_is_used_again(broker: list[str], db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(jobs._broker, "dead_until", time.monotonic() + 60)
    jobs._send(DRAIN, ())
    assert broker == []

    monkeypatch.setitem(jobs._broker, "dead_until", time.monotonic() - 0.001)
    jobs._send(DRAIN, ())

    assert broker == [DRAIN]


@pytest.mark.django_db(transaction=True)
def test_many_changes_wake_the_fan_out_once_until_it_has_looked(broker: list[str]) -> None:
    def happen() -> None:
        with transaction.atomic():
            record(HEARD, actor=None, audience=[1])

    happen(), happen(), happen()
    assert broker == [DRAIN]

    drain()  # what is committed from here on, it may not have seen
    happen(), happen()

    assert broker == [DRAIN, DRAIN]
    assert Event.objects.filter(fanned_out_at=None).count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_dead_cache_costs_nothing_but_wake_ups(broker: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_more: object) -> None:
        raise RedisConnectionError("no cache")

    monkeypatch.setattr(jobs.cache, "add", refuse)
    monkeypatch.setattr(jobs.cache, "delete", refuse)
    with transaction.atomic():
        record(HEARD, actor=None, audience=[1])
    drain()

    assert broker == [DRAIN]
    assert not Event.objects.filter(fanned_out_at=None).exists()


# -- docs/events.md ----------------------------------------------------------------------------------------------------


def announcements() -> Iterator[type[Announcement]]:
    for module in (events, of_accounts, of_registry, of_approvals):
        for found in vars(module).values():
            if isinstance(found, type) and issubclass(found, Announcement) and "kind" in vars(found):
                yield found


def rows() -> dict[str, str]:
    """Of the tables in the docs: the kind in the first column, and the whole line."""
    return {found[1]: found[0] for found in re.finditer(r"^\| `([a-z_]+\.[a-z_]+)` \|.*$", DOCS, re.MULTILINE)}


def test_every_kind_is_in_the_docs_and_nothing_else() -> None:
    assert set(rows()) == {announcement.kind for announcement in announcements()}


def test_no_announcement_stands_outside_the_rooms_events_modules() -> None:
    assert {announcement.kind for announcement in announcements()} == events.known_kinds()


@pytest.mark.parametrize("announcement", sorted(announcements(), key=lambda found: found.__name__))
def test_every_field_that_receivers_get_is_in_the_docs(announcement: type[Announcement]) -> None:
    class Anything:
        """Stands in for the value of any field: what counts is which keys ``data`` has."""

        def __getattr__(self, name: str) -> object:
            return ""

        def __getitem__(self, key: object) -> object:
            return self

        def __len__(self) -> int:
            return 0

        def __iter__(self) -> Iterator[object]:
            return iter(())

    values = {field.name: Anything() for field in fields(announcement)}
    given = announcement(**values).data()

    missing = [field for field in given if f"`{field}`" not in rows()[announcement.kind]]
    assert not missing


def test_what_people_are_told_of_is_marked_in_the_docs() -> None:
    marked = {kind for kind, row in rows().items() if not row.rstrip("| ").endswith("nobody")}

    assert marked == (TOLD | NAMED | HOUSEKEEPING | {"channel.tested"}) & set(rows())
