"""What is measured: the rows of the budget, as requests that both servers take and answers that are checked."""

from __future__ import annotations

import http.client
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from typing import Any
from urllib.parse import urlencode

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from bench.dataset import BIG, Size, commit_of, run_of
from bench.servers import Server

API = "/api/2.0/mlflow/"
KEPT = 1.0  # seconds for which a connection is used again: servers close those that nobody uses
DIFFERENT = 20  # requests of one kind, asked in turn
_UNORDERED = frozenset({"tags", "aliases", "latest_versions"})
_LEFT_OUT = frozenset({"user_id", "next_page_token"})  # ours has users, and tokens of its own


class WrongAnswer(Exception):
    """An answer that is not what it should be: nothing that was measured counts."""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    fields: str  # a query, or a JSON body

    @classmethod
    def get(cls, path: str, **fields: object) -> Request:
        return cls("GET", path, urlencode(fields))

    @classmethod
    def post(cls, path: str, **fields: object) -> Request:
        return cls("POST", path, json.dumps(fields))


class Session:
    """One client's connection, kept alive; ``seconds`` holds how long each request took."""

    def __init__(self, server: Server) -> None:
        self.server, self.seconds = server, list[float]()
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
        self._last = 0.0
        self._headers = {"Content-Type": "application/json"}
        if server.token:
            self._headers["Authorization"] = f"Bearer {server.token}"

    def open(self) -> None:
        self._connection.connect()
        self._last = time.perf_counter()

    def ask(self, request: Request) -> bytes:
        """The body of a 200. Raises WrongAnswer for any other."""
        is_get = request.method == "GET"
        target = f"{API}{request.path}?{request.fields}" if is_get else f"{API}{request.path}"
        began = time.perf_counter()
        if began - self._last > KEPT:
            self._connection.close()
        self._connection.request(request.method, target, None if is_get else request.fields, self._headers)
        # Acknowledge at once: else the reference, which leaves TCP_NODELAY unset, waits 44 ms for each answer.
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        answer = self._connection.getresponse()
        body = answer.read()
        self._last = time.perf_counter()
        self.seconds.append(self._last - began)
        if answer.status != 200:
            raise WrongAnswer(f"{self.server.name} answered {request} with {answer.status}: {body[:500]!r}")
        return body

    def close(self) -> None:
        self._connection.close()


Act = Callable[[Session, int], None]


@dataclass(frozen=True)
class Operation:
    """``act(session, turn)`` does it once and raises WrongAnswer. ``compared``: requests that both must answer alike.
    ``at_least``: the budget, as the reference's CPU divided by ours. ``clients``: at once, beside the run with one."""

    title: str
    at_least: float
    act: Act
    compared: tuple[Request, ...] = ()
    clients: int = 8
    writes: bool = False


class Reading:
    """Ask in turn; every answer must be, byte for byte, what the same server answered first."""

    def __init__(self, *requests: Request) -> None:
        self.requests = requests
        self._first: dict[tuple[str, Request], bytes] = {}

    def __call__(self, session: Session, turn: int) -> None:
        request = self.requests[turn % len(self.requests)]
        body = session.ask(request)
        if self._first.setdefault((session.server.name, request), body) != body:
            raise WrongAnswer(f"{session.server.name} answered {request} in two ways.")


def read(title: str, at_least: float, *requests: Request) -> Operation:
    return Operation(title, at_least, Reading(*requests), requests)


def operations(size: Size) -> Iterator[Operation]:
    """Reads first, so that they find the data as it was loaded."""
    chosen = random.Random(size.versions)
    names = [name for name, _ in size.counts() if name != BIG]
    counts = dict(size.counts())
    picks = [(name, chosen.randint(1, counts[name])) for name in chosen.choices(names, k=DIFFERENT)]
    yield from _look_ups(picks)
    yield from _searches(picks)
    yield from _writes(size, picks)


def _look_ups(picks: list[tuple[str, int]]) -> Iterator[Operation]:
    get_model, latest = "registered-models/get", "registered-models/get-latest-versions"
    yield read("get version", 6, *(Request.get("model-versions/get", name=n, version=v) for n, v in picks))
    yield read(
        "get version by alias", 6, *(Request.get("registered-models/alias", name=n, alias="champion") for n, _ in picks)
    )
    yield read("latest versions", 6, *(Request.post(latest, name=n) for n, _ in picks))
    yield read("get model", 8, *(Request.get(get_model, name=n) for n, _ in picks))
    yield read("get the big model", 250, Request.get(get_model, name=BIG))
    yield read("latest versions of the big model", 250, Request.post(latest, name=BIG))


def _searches(picks: list[tuple[str, int]]) -> Iterator[Operation]:
    of_models, of_versions = "registered-models/search", "model-versions/search"
    digits = sorted({name[-2:] for name, _ in picks})
    yield read("search models, first 100", 25, Request.get(of_models, max_results=100))
    yield read(
        "search models, LIKE", 25,
        *(Request.get(of_models, max_results=100, filter=f"name LIKE '%{two}'") for two in digits),
    )  # fmt: skip
    yield read("search versions of a model", 10, *(Request.get(of_versions, filter=f"name='{n}'") for n, _ in picks))
    yield read("first 100 of the big model", 18, Request.get(of_versions, filter=f"name='{BIG}'", max_results=100))
    yield read("default page of the big model", 20, Request.get(of_versions, filter=f"name='{BIG}'"))
    yield read(
        "search versions by run", 50, *(Request.get(of_versions, filter=f"run_id='{run_of(n, v)}'") for n, v in picks)
    )
    yield read(
        "search versions by tag", 50,
        *(Request.get(of_versions, filter=f"tags.commit = '{commit_of(n, v)}'", max_results=100) for n, v in picks),
    )  # fmt: skip
    yield read(
        "search versions by a common tag", 120,
        Request.get(of_versions, filter="tags.checked = 'yes'", max_results=100),
    )  # fmt: skip
    yield read("search versions, unfiltered", 40, Request.get(of_versions, max_results=100))


class Checked:
    """Write, and see that the answer says so."""

    def __init__(self, request: Callable[[int], Request], check: Callable[[int, Any], bool]) -> None:
        self._request, self._check, self._turns = request, check, count(1)

    def __call__(self, session: Session, turn: int) -> None:
        mine = next(self._turns)
        request = self._request(mine)
        answer = json.loads(session.ask(request))
        if not self._check(mine, answer):
            raise WrongAnswer(f"{session.server.name} answered {request} with {answer}")


def _writes(size: Size, picks: list[tuple[str, int]]) -> Iterator[Operation]:
    tag, alias, create = "model-versions/set-tag", "registered-models/alias", "model-versions/create"

    def pick(turn: int) -> tuple[str, int]:
        return picks[turn % len(picks)]

    def say(path: str, turn: int, **fields: object) -> Request:
        name, version = pick(turn)
        return Request.post(path, name=name, version=str(version), **fields)

    def is_empty(_turn: int, answer: Any) -> bool:
        return answer == {}

    tags = [{"key": f"k{number}", "value": "v"} for number in range(5)]

    def new(name: str, turn: int) -> Request:
        return Request.post(create, name=name, source=f"s3://models/new/{turn}", tags=tags)

    def is_new(_turn: int, answer: Any) -> bool:
        made = answer["model_version"]
        return int(made["version"]) > 0 and made["status"] == "READY" and len(made["tags"]) == len(tags)

    def written(
        title: str, at_least: float, request: Callable[[int], Request], check: Any = is_empty, *, clients: int = 8
    ) -> Operation:
        return Operation(title, at_least, Checked(request, check), clients=clients, writes=True)

    names = list(dict.fromkeys(name for name, _ in picks))
    middle = size.big // 2
    yield written("set a version's tag", 4, lambda turn: say(tag, turn, key="bench", value=str(turn)))
    yield written("set an alias", 4, lambda turn: Request.post(alias, **_there_and_back(names, turn), alias="bench"))
    yield written("create a version", 3, lambda turn: new(pick(turn)[0], turn), is_new)
    yield Operation("32 new versions of one model at once", 3, _AtOnce(32, picks[0][0], new), clients=1, writes=True)
    yield written("transition with archive", 2.5, lambda turn: _move(**_there_and_back(names, turn)), _is_moved)
    yield written(
        "transition with archive, big model", 6,
        lambda turn: _move(**_there_and_back([BIG], turn, middle)), _is_moved, clients=1,
    )  # fmt: skip
    yield Operation("a pipeline's promotion, stock client", 6, Promotion(picks[2][0]), clients=1, writes=True)


def _there_and_back(names: list[str], turn: int, first: int = 1) -> dict[str, str]:
    """One model after the other, so that clients at the same moment have different ones: the reference answers 503
    ("deadlock detected") to two who move versions of one model. Of each model two versions take turns."""
    return {"name": names[turn % len(names)], "version": str(first + turn // len(names) % 2)}


def _move(name: str, version: str) -> Request:
    return Request.post(
        "model-versions/transition-stage",
        name=name, version=version, stage="Production", archive_existing_versions=True,
    )  # fmt: skip


def _is_moved(_turn: int, answer: Any) -> bool:
    return bool(answer["model_version"]["current_stage"] == "Production")


class _AtOnce:
    """Everybody registers a version of the same model: none may fail, and their numbers leave no gap."""

    def __init__(self, people: int, name: str, new: Callable[[str, int], Request]) -> None:
        self.people, self._name, self._new = people, name, new

    def __call__(self, session: Session, turn: int) -> None:
        sessions = [Session(session.server) for _ in range(self.people)]
        try:
            with ThreadPoolExecutor(self.people) as pool:
                bodies = list(pool.map(lambda one: one.ask(self._new(self._name, turn)), sessions))
        finally:
            for one in sessions:
                session.seconds += one.seconds
                one.close()
        numbers = sorted(int(json.loads(body)["model_version"]["version"]) for body in bodies)
        if numbers != list(range(numbers[0], numbers[0] + self.people)):
            raise WrongAnswer(f"{session.server.name} gave the numbers {numbers}.")


class Promotion:
    """What a pipeline does with a model it has trained: register, describe, move, and look whether it worked."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, session: Session, turn: int) -> None:
        began = time.perf_counter()
        try:
            state = self._promote(MlflowClient(session.server.url, session.server.url), f"s3://models/promoted/{turn}")
        except MlflowException as error:
            raise WrongAnswer(f"{session.server.name} answered the stock client: {error}") from error
        session.seconds.append(time.perf_counter() - began)
        if state != ("Production", "yes", "Trained last night."):
            raise WrongAnswer(f"{session.server.name} says after the promotion: {state}")

    def _promote(self, client: MlflowClient, source: str) -> tuple[str | None, ...]:
        made = client.create_model_version(self._name, source, tags={"by": "pipeline"})
        client.update_model_version(self._name, made.version, description="Trained last night.")
        client.set_model_version_tag(self._name, made.version, "checked", "yes")
        client.transition_model_version_stage(self._name, made.version, "Production", archive_existing_versions=True)
        client.set_registered_model_alias(self._name, "champion", made.version)
        found = client.get_model_version_by_alias(self._name, "champion")
        return found.current_stage, found.tags["checked"], found.description


def normal(value: Any, *, unordered: frozenset[str], key: str = "") -> Any:
    """An answer without what may differ: empty fields, the order of some lists, whose it is, and how a token is
    spelled."""
    if isinstance(value, list):
        items = [normal(item, unordered=unordered) for item in value]
        return sorted(items, key=repr) if key in unordered else items
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key not in _LEFT_OUT and item not in ("", [], None)}
        more = {"has_more": True} if value.get("next_page_token") else {}
        return {key: normal(item, unordered=unordered, key=key) for key, item in kept.items()} | more
    return value


def compare(operation: Operation, ours: Session, theirs: Session) -> None:
    """Both servers answer the same. Raises WrongAnswer with the first difference."""
    for request in operation.compared:
        unordered = _UNORDERED | {"model_versions"} if request.path.endswith("get-latest-versions") else _UNORDERED
        one, other = (normal(json.loads(session.ask(request)), unordered=unordered) for session in (ours, theirs))
        if one != other:
            raise WrongAnswer(f"{request} is answered differently:\n{str(one)[:1500]}\n{str(other)[:1500]}")
