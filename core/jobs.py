"""The way from a transaction to a Celery task: by name, after the commit, and never at the user's expense."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog
from celery import current_app
from django.core.cache import cache
from django.db import DatabaseError, transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

log = structlog.get_logger(__name__)

PAUSE = 10.0  # seconds
WAKE_UP = 2  # seconds for which one wake-up stands for all that follow, unless its task starts sooner
_broker = {"dead_until": 0.0}  # of this process, in the time of time.monotonic()


def after_commit(task: str, *args: Any) -> None:
    """Send ``task`` once the surrounding transaction has committed.

    A wake-up, not a promise: whatever must happen is a row that a periodic task finds as well, so a dead
    broker is logged and not raised.
    """
    transaction.on_commit(lambda: _send(task, args))


def wake_after_commit(task: str, *, when: Callable[[], bool] = lambda: True) -> None:
    """As ``after_commit`` for a task that does all there is to do: of many wake-ups before it starts, one is sent.

    The task calls ``awake`` before it looks for work. ``when`` is asked after the commit.
    """
    transaction.on_commit(lambda: _wake(task) if _is_due(task, when) else None)


def _is_due(task: str, when: Callable[[], bool]) -> bool:
    """Yes where it cannot be told: the change is committed, and its user is not to hear of a fault."""
    try:
        return when()
    except DatabaseError as error:
        log.warning("wake_up_unclear", task=task, error=str(error))
        return True


def awake(task: str) -> None:
    """What is committed from here on sends ``task`` again."""
    try:
        cache.delete(_flag(task))
    except RedisError as error:
        log.warning("cache_unreachable", task=task, error=str(error))  # the flag runs out by itself


def _wake(task: str) -> None:
    if time.monotonic() < _broker["dead_until"]:
        return
    try:
        is_first = cache.add(_flag(task), 1, timeout=WAKE_UP)
    except RedisError as error:
        log.warning("cache_unreachable", task=task, error=str(error))
        is_first = True
    if is_first:
        _send(task, ())


def _flag(task: str) -> str:
    return f"woken:{task}"


def _send(task: str, args: tuple[Any, ...]) -> None:
    """Asking a broker that hangs costs seconds, so after a failure nobody in this process asks for a while."""
    if time.monotonic() < _broker["dead_until"]:
        return
    try:
        current_app.send_task(task, args=args, retry=False)
    except (OperationalError, OSError) as error:
        _broker["dead_until"] = time.monotonic() + PAUSE
        log.warning("broker_unreachable", task=task, error=str(error), no_wake_ups_for_seconds=PAUSE)
