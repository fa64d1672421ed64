"""Going forward and back between releases, with people signed in."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from accounts.models import Session, User
from accounts.sessions import SessionStore
from core.clock import now

pytestmark = pytest.mark.django_db(transaction=True)
BEFORE, AFTER = "0003_token_scopes", "0006_no_older_sessions"
SESSIONS = ("sessions", "0001_initial")


def migrate(name: str) -> None:
    MigrationExecutor(connection).migrate([("accounts", name)])


@pytest.fixture(autouse=True)
def _back_to_the_present() -> Iterator[None]:
    yield
    executor = MigrationExecutor(connection)
    executor.migrate(executor.loader.graph.leaf_nodes())
    MigrationRecorder(connection).record_unapplied(*SESSIONS)


def put(key: str, held: dict[str, str], *, ends_in: timedelta = timedelta(days=1)) -> None:
    values = [key, SessionStore().encode(held), connection.ops.adapt_datetimefield_value(now() + ends_in)]
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_session VALUES (%s, %s, %s)", values)


def old_keys() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT session_key FROM django_session ORDER BY session_key")
        return [key for (key,) in cursor.fetchall()]


def is_signed_in(key: str) -> bool:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = key
    return client.get("/api/v1/me/").status_code == 200


def test_who_is_signed_in_stays_so_forward_and_back(mira: User) -> None:
    by_link = {SESSION_KEY: str(mira.pk), BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0]}
    held = {**by_link, HASH_SESSION_KEY: mira.get_session_auth_hash()}
    MigrationRecorder(connection).record_applied(*SESSIONS)
    migrate(BEFORE)
    put("a" * 32, held)
    put("b" * 32, {})
    put("c" * 32, {**held, SESSION_KEY: "123456"})
    put("d" * 32, held, ends_in=-timedelta(days=1))

    migrate(AFTER)
    assert dict(Session.objects.values_list("session_key", "user")) == {
        "a" * 32: mira.pk,
        "b" * 32: None,
        "c" * 32: None,
    }
    assert [key for key in "abcd" if is_signed_in(key * 32)] == ["a"]
    assert "django_session" not in connection.introspection.table_names()

    migrate(BEFORE)
    assert old_keys() == ["a" * 32, "b" * 32, "c" * 32]
    assert "accounts_session" not in connection.introspection.table_names()


def test_where_the_older_release_never_was_it_finds_no_table_to_stumble_over(db: None) -> None:
    migrate(BEFORE)
    assert "django_session" not in connection.introspection.table_names()
    migrate(AFTER)
    assert "django_session" not in connection.introspection.table_names()
