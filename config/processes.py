"""The processes of a running Countersign, as command lines that the supervisor, the image and compose use, and what
they load in common."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import import_module

from django.conf import settings
from django.urls import reverse

# What the processes load when they start. A supervisor that has loaded it before it forks them shares it with all.
SHARED_MODULES = (
    "config.wsgi",
    "config.urls",
    "gunicorn.app.wsgiapp",
    "config.web_worker",
    "celery.bin.celery",
    "celery.bin.worker",
    "celery.bin.beat",
    "celery.apps.worker",
    "celery.apps.beat",
    "celery.worker.components",
    "celery.worker.consumer",
    "celery.concurrency.prefork",
    "kombu.transport.redis" if settings.REDIS_URL else "kombu.transport.filesystem",
)


@dataclass(frozen=True, slots=True)
class Process:
    """``python -m module arguments``."""

    name: str
    module: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, "-m", self.module, *self.arguments)


def web() -> Process:
    """Gunicorn with threads: it streams uploads, which ASGI servers would spool first."""
    arguments = (
        "config.wsgi:application",
        *("--bind", f"{settings.HOST}:{settings.PORT}"),
        *("--worker-class", "config.web_worker.LingeringThreadWorker"),
        *("--workers", str(settings.WEB_WORKERS), "--threads", str(settings.WEB_THREADS)),
        *("--graceful-timeout", "8", "--limit-request-line", "8190"),
        *("--preload", "--no-control-socket", "--log-level", "warning"),
    )
    return Process("web", "gunicorn", arguments)


def worker() -> Process:
    """One worker of threads on the embedded broker, whose files two workers would corrupt; processes on Redis.

    Workers have nothing to say to each other, and their gossip is what fails when Redis comes back after an outage."""
    silent = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    pool = "prefork" if settings.REDIS_URL else "threads"
    jobs = ("--concurrency", str(settings.JOB_WORKERS), "--pool", pool)
    return Process("worker", "celery", ("-q", "-A", "config", "worker", *jobs, *silent))


def beat() -> Process:
    """The clock. One for the whole installation; a second one only makes the sweep run twice as often."""
    return Process("beat", "celery", ("-q", "-A", "config", "beat", "--max-interval", "1"))


def load_shared() -> None:
    """Load what the processes share. Opens no connection and starts no thread: a fork could use neither."""
    for module in SHARED_MODULES:
        import_module(module)
    reverse("sign_in")  # reads the whole table of URLs, and with it every view


PROCESSES = {"web": web, "worker": worker, "beat": beat}
