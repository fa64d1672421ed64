"""When a web thread stays with a connection, and when it lets others have their turn."""

from __future__ import annotations

import io
import socket
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn.config import Config
from gunicorn.workers.gthread import ThreadWorker

from config.web_worker import ALWAYS_FREE, LingeringThreadWorker

ENOUGH = 10  # answers after which a client counts as asking without end


@pytest.fixture
def connection() -> Iterator[SimpleNamespace]:
    """One whose client has always asked again."""
    ours, theirs = socket.socketpair()
    theirs.sendall(b"x" * ENOUGH)
    yield SimpleNamespace(sock=ours, parser=SimpleNamespace(unreader=SimpleNamespace(buf=io.BytesIO())))
    ours.close()
    theirs.close()


def worker(*, threads: int) -> Any:
    settings = Config()
    settings.set("threads", threads)
    made = LingeringThreadWorker(1, 1, [], SimpleNamespace(), 1, settings, None)
    made.tpool = SimpleNamespace(_work_queue=SimpleQueue())
    return made


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], None]]:
    """What happens during each answer, in turn; the list grows by the answers that nothing was planned for."""
    during: list[Callable[[], None]] = []
    done = 0

    def handle(_self: ThreadWorker, connection: SimpleNamespace) -> bool:
        nonlocal done
        connection.sock.recv(1)
        if done < len(during):
            during[done]()
        else:
            during.append(lambda: None)
        done += 1
        return done < ENOUGH

    monkeypatch.setattr(ThreadWorker, "handle", handle)
    return during


def test_a_thread_stays_while_its_client_asks(connection: Any, answers: list[Any]) -> None:
    assert worker(threads=8).handle(connection) is False  # the client's end, not ours

    assert len(answers) == ENOUGH


def test_it_leaves_when_somebody_waits_for_a_thread(connection: Any, answers: list[Any]) -> None:
    one = worker(threads=8)
    answers += [lambda: None, lambda: one.tpool._work_queue.put("another connection")]

    assert one.handle(connection) is True

    assert len(answers) == 2


def test_two_threads_never_stay(connection: Any, answers: list[Any]) -> None:
    one = worker(threads=ALWAYS_FREE + 1)
    assert one._may_stay.acquire(blocking=False)  # another thread stays with its client, and answers it just now

    assert one.handle(connection) is True

    assert len(answers) == 1


def test_staying_is_for_the_whole_time_and_no_longer(connection: Any, answers: list[Any]) -> None:
    one = worker(threads=ALWAYS_FREE + 1)
    free = list[bool]()
    answers += [lambda: None, lambda: free.append(one._may_stay.acquire(blocking=False))]

    one.handle(connection)

    assert free == [False]
    assert one._may_stay.acquire(blocking=False)


def test_a_stopping_worker_keeps_nobody(connection: Any, answers: list[Any]) -> None:
    one = worker(threads=8)
    answers += [lambda: setattr(one, "alive", False)]

    assert one.handle(connection) is True

    assert len(answers) == 1
