"""The other side of notifications, for real: an SMTP server and an HTTP receiver that keep what they got."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


class Mailbox:
    """An SMTP server on a port of its own; ``messages`` in the order they came.

    ``refusal`` is what it answers to every recipient instead of taking the mail; ``seconds`` how long each mail takes.
    """

    def __init__(self, port: int, *, refusal: str = "", seconds: float = 0) -> None:
        self.port = port
        self.refusal = refusal
        self.seconds = seconds
        self.messages: list[Message] = []
        self._controller = Controller(self, hostname="127.0.0.1", port=port)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        await asyncio.sleep(self.seconds)
        self.messages.append(message_from_bytes(content, policy=policy.default))
        return "250 OK"

    def __enter__(self) -> Mailbox:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.stop()

    def of(self, address: str) -> list[Message]:
        return [message for message in self.messages if address in str(message["To"])]


@dataclass(frozen=True)
class Call:
    """A POST as it came; names of headers in lower case."""

    headers: dict[str, str]
    body: bytes
    path: str


class Receiver:
    """An HTTP server that answers every POST with ``status``, ``said`` and ``headers``, and keeps what it got: the
    ``calls`` as they came, and the JSON of each."""

    def __init__(
        self,
        status: int = 200,
        *,
        said: str = "ok",
        headers: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.status, self.said, self.headers = status, said, headers or {}
        self.calls: list[Call] = []
        self.posts: list[dict[str, Any]] = []
        self.keys: list[str] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.calls.append(Call(headers, body, self.path))
                receiver.posts.append(json.loads(body))
                receiver.keys.append(self.headers.get("X-Countersign-Event", ""))
                said = receiver.said.encode()
                self.send_response(receiver.status)
                for name, value in {"Content-Length": str(len(said)), **receiver.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the tests' output clean."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/services/T0/B0/secret"

    def __enter__(self) -> Receiver:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def wait_until(true: Callable[[], bool], what: str, within: float = 30) -> None:
    """Return as soon as it holds; an assertion that says what did not happen otherwise."""
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen within {within} s"
        time.sleep(0.05)
