"""The processes of a running Countersign, as command lines: the supervisor, the image and compose use these."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Process:
    """``python -m module arguments``.

    ``starts_warm`` lets it begin as a fork of the supervisor, with Django loaded already: ready two seconds sooner.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    starts_warm: bool = False

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
        *("--no-control-socket", "--log-level", "warning"),
    )
    return Process("web", "gunicorn", arguments, starts_warm=True)


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


PROCESSES = {"web": web, "worker": worker, "beat": beat}
