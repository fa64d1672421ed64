"""What must be done once before the processes start: migrations, on the very first start an administrator, and the
embedded queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.core.management import call_command
from django.db import connection

from accounts.services import bootstrap_administrator
from config.celery import app

MIGRATION_LOCK = 7_236_183_051_442_097  # any number; every process of Countersign must take the same


def prepare() -> tuple[str, str] | None:
    """Migrate; then, the first time ever, the administrator's sign-in path and token."""
    with one_at_a_time():
        call_command("migrate", interactive=False, verbosity=0)
        first = bootstrap_administrator()
    make_queue()
    _leave_database()
    return first


def make_queue() -> None:
    """The embedded queue, before anybody uses it: of two processes that make its file at once, one may find it empty,
    which it does not survive. Redis needs none."""
    if settings.REDIS_URL:
        return
    with app.connection_for_write() as broker:
        app.amqp.default_queue.bind(broker.default_channel).declare()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Several machines may start at once: on PostgreSQL the others wait here. SQLite has one machine only."""
    if connection.vendor != "postgresql":
        yield
        return
    lock = connection.copy()  # a connection of its own, as a migration may close the usual one
    try:
        with lock.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
            try:
                yield
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])
    finally:
        lock.close()


def _leave_database() -> None:
    """What comes next, here or in a fork, starts without an open connection."""
    connection.close()
