"""The benchmark counts no answer that is wrong."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from bench import report
from bench.dataset import Size, lines
from bench.operations import Operation, Reading, Request, Session, WrongAnswer, compare, operations
from bench.servers import Server

GET = Request.get("model-versions/get", name="churn", version=1)


class Talkative(Server):
    """Answers every request with the next of ``answers``, and goes on with the last."""

    name = "talkative"

    def __init__(self, *answers: tuple[int, Any]) -> None:
        waiting = list(answers)

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the tests' output clean."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def command(self) -> tuple[list[str], dict[str, str]]:
        raise NotImplementedError

    def load(self, data: object) -> float:
        raise NotImplementedError

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    server = Talkative(*request.param)
    yield Session(server)
    server.stop()


def version(**fields: Any) -> dict[str, Any]:
    return {"model_version": {"name": "churn", "version": "1", "tags": [{"key": "a", "value": "1"}], **fields}}


@pytest.mark.parametrize("session", [[(200, version()), (200, version(description="other"))]], indirect=True)
def test_an_answer_that_changes_is_wrong(session: Session) -> None:
    reading = Reading(GET)
    reading(session, 0)

    with pytest.raises(WrongAnswer, match="in two ways"):
        reading(session, 1)


@pytest.mark.parametrize("session", [[(500, {})]], indirect=True)
def test_an_error_is_wrong(session: Session) -> None:
    with pytest.raises(WrongAnswer, match="with 500"):
        Reading(GET)(session, 0)


@pytest.mark.parametrize(
    ("session", "theirs", "is_alike"),
    [
        ([(200, version())], version(user_id="ours", description=""), True),
        ([(200, version())], version(tags=[{"key": "a", "value": "2"}]), False),
        ([(200, {**version(), "next_page_token": "a"})], {**version(), "next_page_token": "b"}, True),
        ([(200, {**version(), "next_page_token": "a"})], version(), False),
    ],
    indirect=["session"],
)
def test_both_servers_answer_alike(session: Session, theirs: Any, is_alike: bool) -> None:
    other = Talkative((200, theirs))
    operation = Operation("get", 1, Reading(GET), (GET,))
    try:
        if is_alike:
            compare(operation, session, Session(other))
        else:
            with pytest.raises(WrongAnswer, match="answered differently"):
                compare(operation, session, Session(other))
    finally:
        other.stop()


@pytest.mark.parametrize("versions", [1000, 100_000, 1_000_000])
def test_the_data_has_the_size_it_says(versions: int) -> None:
    size = Size.of(versions)
    counts = dict(size.counts())

    assert (sum(counts.values()), len(counts), max(counts.values())) == (versions, size.models, size.big)
    assert size.big == min(versions // 5, 20_000)


def test_the_data_is_the_same_each_time() -> None:
    size = Size.of(1000)
    assert list(lines(size)) == list(lines(size))
    assert len([line for line in lines(size) if "version" in line]) == 1000
    assert all(len(line["tags"]) == 5 for line in lines(size) if "version" in line)


def test_every_operation_has_a_goal() -> None:
    titles = [operation.title for operation in operations(Size.of(1000))]
    assert len(titles) == len(set(titles)) == 22
    assert all(operation.at_least > 1 for operation in operations(Size.of(1000)))


def figures(cpu: float) -> dict[str, Any]:
    return {"p50": cpu, "p95": cpu, "cpu": cpu, "rate": 100.0, "requests": 10}


def test_goals_are_judged_at_the_size_they_were_set_for_and_growth_for_ours_alone() -> None:
    row = {"operation": "get", "at_least": 6, "mlflow": figures(10), "countersign": figures(2)}
    grown = {**row, "mlflow": figures(40), "countersign": figures(4)}

    assert report.line(row, versions=100_000).endswith("| 5.0 ✗ | 6 |")
    assert report.line(row, versions=1000).endswith("| 5.0 |  |")
    assert report._grown(row, grown) == "| get | 4.0 | 4.0 | 2.0 ✗ | 2.0 ✗ |"
