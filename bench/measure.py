"""Alternating rounds: each operation is done by one client, then by several, on one server and then on the other."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.operations import Operation, Session, WrongAnswer, compare
from bench.servers import Server

SETTLE = 0.3  # seconds after a batch of writes, for what they leave to the workers


@dataclass
class Figures:
    """``seconds``: of each request with one client; ``cpu``: per request, in seconds, without what the server takes at
    rest; ``rates``: requests a second with several clients; both by round. ``failure``: why there are none."""

    seconds: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rates: list[float] = field(default_factory=list)
    failure: str = ""

    def summary(self) -> dict[str, Any]:
        """In milliseconds and requests a second."""
        if self.failure:
            return {"failure": self.failure}
        cuts = statistics.quantiles(self.seconds, n=20) if len(self.seconds) > 1 else self.seconds * 19
        return {
            "p50": statistics.median(self.seconds) * 1000,
            "p95": cuts[18] * 1000,
            "cpu": statistics.median(self.cpu) * 1000,
            "rate": statistics.median(self.rates) if self.rates else None,
            "requests": len(self.seconds),
        }


@dataclass(frozen=True)
class Effort:
    rounds: int
    batch_seconds: float  # how long one batch of one client takes, roughly
    most: int = 300
    fewest: int = 2


def measure(operation: Operation, servers: tuple[Server, Server], effort: Effort) -> dict[str, Any]:
    """The figures of both, by name. Raises WrongAnswer when they do not answer alike."""
    with _sessions(servers[0], 1) as [ours], _sessions(servers[1], 1) as [theirs]:
        compare(operation, ours, theirs)
    found = {server.name: Figures() for server in servers}
    for number in range(effort.rounds):
        for server in servers if number % 2 == 0 else reversed(servers):
            figures = found[server.name]
            if figures.failure:
                continue
            try:
                _round(operation, server, effort, figures)
            except WrongAnswer as error:
                figures.failure = str(error)
    return {
        "operation": operation.title,
        "at_least": operation.at_least,
        "writes": operation.writes,
        **{name: figures.summary() for name, figures in found.items()},
    }


def _round(operation: Operation, server: Server, effort: Effort, figures: Figures) -> None:
    with _sessions(server, operation.clients) as sessions:
        first = sessions[0]
        began = time.perf_counter()
        operation.act(first, 0)  # warm
        each = time.perf_counter() - began
        turns = max(effort.fewest, min(effort.most, int(effort.batch_seconds / each)))
        for session in sessions:
            session.seconds.clear()
        before, since = server.cpu(), time.monotonic()
        for turn in range(turns):
            operation.act(first, turn)
        figures.seconds += first.seconds
        if operation.clients > 1:
            for session in sessions[1:]:
                session.open()  # which is no part of what is compared
            with ThreadPoolExecutor(operation.clients) as pool:
                shares = max(1, turns * 2 // operation.clients)
                began = time.perf_counter()
                done = [pool.submit(_share, operation, session, shares) for session in sessions]
                for one in done:
                    one.result()
                figures.rates.append(operation.clients * shares / (time.perf_counter() - began))
        if operation.writes:
            time.sleep(SETTLE)
        requests = sum(len(session.seconds) for session in sessions)
        unasked = server.idle * (time.monotonic() - since)
        figures.cpu.append(max(0.0, server.cpu() - before - unasked) / requests)


def _share(operation: Operation, session: Session, turns: int) -> None:
    for turn in range(turns):
        operation.act(session, turn)


@contextmanager
def _sessions(server: Server, number: int) -> Iterator[list[Session]]:
    sessions = [Session(server) for _ in range(number)]
    try:
        yield sessions
    finally:
        for session in sessions:
            session.close()


def effort_of(*, quick: bool) -> Effort:
    return Effort(rounds=2, batch_seconds=0.2, most=40) if quick else Effort(rounds=3, batch_seconds=0.6)
