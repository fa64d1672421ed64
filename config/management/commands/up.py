"""manage.py up: all of Countersign as one process tree, from migrations to a clean stop."""

from __future__ import annotations

import fcntl
import http.client
import os
import socket
import sys
from typing import IO, Any
from urllib.parse import urlsplit

from celery.beat import EmbeddedService
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError

from config import greeting, processes
from config.celery import app
from config.preparation import prepare
from config.supervisor import Supervisor

PRODUCTION_NEEDS = ("DATABASE_URL", "REDIS_URL", "STORAGE_URL")


class Command(BaseCommand):
    help = "Start web server, worker and beat, and stop them together."
    requires_system_checks: list[str] = []  # `make check` runs them; here they would cost a second of every start

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--production",
            action="store_true",
            help="gunicorn, a Celery worker and beat as processes, from DATABASE_URL, REDIS_URL and STORAGE_URL",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        production = options["production"]
        if production:
            _require_services()
        lock = _lock_data_dir()
        _require_free_port()
        try:
            first = prepare()
        except OperationalError as error:
            raise CommandError(f"The database does not let itself be prepared: {str(error).strip()}.") from error
        self._greet(first)
        processes.load_shared()
        started = [processes.web(), processes.worker()]
        if production:
            started.append(processes.beat())
        supervisor = Supervisor(
            started,
            on_started=_nothing_more if production else _start_beat_here,
            is_ready=_is_ready,
            on_ready=self._say_ready,
            prefix=settings.LOG_FORMAT == "text",  # a line of JSON names its logger, and stays JSON
        )
        status = supervisor.run()
        self._say("Stopped." if status == 0 else "Stopped after a failure; the lines above say which.")
        lock.close()
        if status:
            sys.exit(status)

    def _greet(self, first: tuple[str, str] | None) -> None:
        where = "" if not settings.EMBEDDED else f" with its data in {settings.DATA_DIR}"
        self._say(f"Countersign starts on {settings.BASE_URL}{where}.")
        self._say(greeting.first_start(*first) if first else greeting.later_start())

    def _say_ready(self) -> None:
        self._say(f"Ready: {settings.BASE_URL} (Ctrl-C stops it)")

    def _say(self, text: str) -> None:
        self.stdout.write(text + "\n")  # Django adds a line end only where there is none
        self.stdout.flush()


def _start_beat_here() -> None:
    """Beat as a thread that ends with this process: a process of its own would be memory for a clock."""
    EmbeddedService(app, max_interval=1, thread=True).start()


def _nothing_more() -> None:
    """In production beat is a process."""


def _require_services() -> None:
    missing = [name for name in PRODUCTION_NEEDS if not getattr(settings, name)]
    if missing:
        raise CommandError(f"{' and '.join(missing)} must be set for production; docs/settings.md says how.")


def _lock_data_dir() -> IO[str]:
    """Hold the data folder while the server runs: two workers on one embedded queue would corrupt it."""
    settings.DATA_DIR.mkdir(parents=True, exist_ok=True)
    file = (settings.DATA_DIR / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CommandError(
            f"Countersign already runs on {settings.DATA_DIR}: stop it, or name another DATA_DIR."
        ) from error
    return file


def _require_free_port() -> None:
    family = socket.AF_INET6 if ":" in settings.HOST else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.HOST, settings.PORT))
        except OSError as error:
            address = f"{settings.HOST}:{settings.PORT}"
            advice = f"make run PORT={settings.PORT + 1 if settings.PORT < 65535 else 8080}"
            raise CommandError(
                f"{address} cannot be used: {os.strerror(error.errno or 0)}. Choose another: {advice}"
            ) from error


def _is_ready() -> bool:
    """What a load balancer would ask."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.HOST, settings.HOST)  # noqa: S104
    server = http.client.HTTPConnection(host, settings.PORT, timeout=2)
    try:
        server.request("GET", "/health/ready", headers={"Host": urlsplit(settings.BASE_URL).netloc})
        return server.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        server.close()
