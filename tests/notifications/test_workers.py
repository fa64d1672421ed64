"""Real workers on both brokers: killed in the middle of their work, and with nobody to wake them."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.conf import settings

from tests.receivers import Mailbox, wait_until
from tests.servers import free_port, migrated, processes_with

pytestmark = [pytest.mark.slow, pytest.mark.embedded]

REDIS = "redis://127.0.0.1:6379/11"
PEOPLE, EVENTS = 10, 20
ASK = textwrap.dedent(
    f"""
    import django; django.setup()
    from django.db import transaction
    from accounts.models import User
    from notifications.events import ChannelTested, record
    class Asked(ChannelTested):
        kind = "request.opened"
    ids = [User.objects.get_or_create(username=f"p{{n}}", email=f"p{{n}}@example.com")[0].pk for n in range({PEOPLE})]
    for n in range({EVENTS}):
        with transaction.atomic():
            record(Asked(channel="ops"), actor=None, audience=ids)
    """
)


class Installation:
    """A folder with a database, an environment, and the processes started in it."""

    def __init__(self, data_dir: Path, **environment: str) -> None:
        self.data_dir, self.mail_port = migrated(data_dir), free_port()
        inherited = {name: value for name, value in os.environ.items() if not name.endswith("_URL")}
        self.environment = {
            **inherited,
            "DATA_DIR": str(data_dir),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "EMAIL_URL": f"smtp://127.0.0.1:{self.mail_port}",
            **environment,
        }
        self.running: list[tuple[str, subprocess.Popen[bytes]]] = []

    def run(self, *arguments: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def start(self, *names: str) -> None:
        """A process of its own session for each, so that all of its children can be killed with it."""
        for name in names:
            arguments = [sys.executable, "manage.py", "start", name]
            process = subprocess.Popen(
                arguments, cwd=settings.BASE_DIR, env=self.environment, start_new_session=True,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            self.running.append((name, process))

    def start_again(self) -> None:
        """What has ended by itself, as every deployment does."""
        for name, process in list(self.running):
            if process.poll() is not None:
                self.running.remove((name, process))
                self.start(name)

    def kill(self) -> None:
        """-9 for every process of it, at once and without a chance to tidy up."""
        for _, process in self.running:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=10)
        self.running.clear()
        assert not processes_with(f"DATA_DIR={self.data_dir}")

    def let_leases_end(self) -> int:
        """As if the time of the leases had passed; how many a killed worker held."""
        with sqlite3.connect(self.data_dir / "countersign.sqlite3", timeout=20) as database:
            held = "UPDATE notifications_delivery SET lease_until = '2000-01-01 00:00:00' WHERE state = 'leased'"
            return database.execute(held).rowcount

    def states(self) -> Counter[str]:
        with sqlite3.connect(self.data_dir / "countersign.sqlite3", timeout=20) as database:
            return Counter(row[0] for row in database.execute("SELECT state FROM notifications_delivery"))


@pytest.fixture(params=["embedded", "redis"])
def installation(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Installation]:
    environment = {}
    if request.param == "redis":
        ping = subprocess.run(["redis-cli", "-u", REDIS, "flushdb"], capture_output=True, check=False)
        if ping.stdout != b"OK\n":
            pytest.skip("no Redis answers on 127.0.0.1:6379")
        environment["REDIS_URL"] = REDIS
    made = Installation(tmp_path / "data", **environment)
    yield made
    made.kill()


def test_every_mail_arrives_although_workers_are_killed_while_they_send(installation: Installation) -> None:
    expected = PEOPLE * EVENTS
    with Mailbox(installation.mail_port, seconds=0.05) as mailbox:
        installation.run("-c", ASK)
        held = 0
        for part in (1, 2):
            installation.start("worker", "beat")
            wait_until(
                lambda part=part: len(mailbox.messages) >= part * expected // 4, "a part of the mails", within=60
            )
            installation.kill()
            held += installation.let_leases_end()
        assert held > 0, "the kill found nobody at work"
        assert len(mailbox.messages) < expected
        installation.start("worker", "beat")
        wait_until(lambda: installation.states() == {"sent": expected}, "every delivery", within=90)

    arrived = Counter((str(mail["To"]), str(mail["X-Countersign-Event"])) for mail in mailbox.messages)
    assert len(arrived) == expected
    twice = sum(arrived.values()) - expected
    assert twice <= held  # only what was in a killed worker's hands, and with the same key
    assert len({str(mail["Message-ID"]) for mail in mailbox.messages}) == expected


def test_mails_wait_for_a_server_that_is_down(installation: Installation) -> None:
    installation.run("-c", ASK)
    installation.start("worker", "beat")
    wait_until(lambda: installation.states()["pending"] == PEOPLE * EVENTS, "the deliveries", within=60)
    with Mailbox(installation.mail_port) as mailbox:
        wait_until(lambda: len(mailbox.messages) >= PEOPLE, "the first mails after the server came back", within=90)


def test_what_nobody_was_woken_for_the_sweep_delivers(tmp_path: Path) -> None:
    """The broker is down while it happens: logged, nothing lost, sent once a worker and the clock run."""
    installation = Installation(tmp_path / "data")
    try:
        said = installation.run("-c", ASK, REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
        assert "broker_unreachable" in said
        with Mailbox(installation.mail_port) as mailbox:
            installation.start("worker", "beat")
            wait_until(lambda: len(mailbox.messages) == PEOPLE * EVENTS, "every mail", within=60)
    finally:
        installation.kill()


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
def test_an_outage_that_empties_redis_loses_nothing(tmp_path: Path) -> None:
    """Redis is killed and forgets everything: what happens meanwhile is told within a minute of its return."""
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    installation = Installation(tmp_path / "data", REDIS_URL=f"redis://127.0.0.1:{port}/0")
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with Mailbox(installation.mail_port) as mailbox:
            installation.start("worker", "beat")
            installation.run("-c", ASK)
            wait_until(lambda: len(mailbox.messages) == PEOPLE * EVENTS, "every mail of before", within=60)
            redis.kill()
            redis.wait(timeout=10)
            installation.run("-c", ASK)
            redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)

            def every_mail_arrived() -> bool:
                installation.start_again()  # Celery's worker ends by a fault of kombu's if it acknowledges just then
                return len(mailbox.messages) >= 2 * PEOPLE * EVENTS

            wait_until(every_mail_arrived, "every mail of the outage", within=60)
    finally:
        installation.kill()
        redis.kill()
        redis.wait(timeout=10)
