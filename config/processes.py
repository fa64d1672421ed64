"""The processes that make up a running Countersign, as command lines: the supervisor, the image and compose use these."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass

from django.conf import settings


@dataclass(frozen=True, slots=True)
class Process:
    """``orphan_signal`` is what the process gets from the system when its supervisor is killed."""

    name: str
    command: tuple[str, ...]
    orphan_signal: signal.Signals = signal.SIGKILL


def web() -> Process:
    """Gunicorn with threads: it streams uploads, which ASGI servers would spool first."""
    command = (
        *(sys.executable, "-m", "gunicorn", "config.wsgi:application"),
        *("--bind", f"{settings.HOST}:{settings.PORT}"),
        *("--worker-class", "gthread", "--workers", str(settings.WEB_WORKERS), "--threads", str(settings.WEB_THREADS)),
        *("--graceful-timeout", "8", "--limit-request-line", "8190"),
        *("--no-control-socket", "--log-level", "warning"),
    )
    return Process("web", command, signal.SIGQUIT)


def worker() -> Process:
    """One worker of threads on the embedded broker, whose files two workers would corrupt; processes on Redis."""
    command = [sys.executable, "-m", "celery", "-q", "-A", "config", "worker", "--concurrency", str(settings.JOB_WORKERS)]
    if settings.REDIS_URL:
        return Process("worker", (*command, "--pool", "prefork"), signal.SIGQUIT)
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    return Process("worker", (*command, "--pool", "threads", *quiet))


def beat() -> Process:
    """The clock. One for the whole installation; a second one only makes the sweep run twice as often."""
    return Process("beat", (sys.executable, "-m", "celery", "-q", "-A", "config", "beat", "--max-interval", "1"))


PROCESSES = {"web": web, "worker": worker, "beat": beat}
