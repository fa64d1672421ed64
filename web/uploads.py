"""The body of an upload, ended when it stalls: eight clients that send a byte a minute would hold every web thread.

A blocked read cannot be called off from within, so a thread beside it shuts the socket's reading side: the read sees
the end of the body, and the answer can still be sent.
"""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType

from django.conf import settings
from django.http import HttpRequest, UnreadablePostError

from core.errors import Invalid

PIECE = 64 * 1024  # bytes that have to arrive in UPLOAD_STALL_SECONDS


class PacedBody:
    """``with PacedBody(request) as body``: read as a stream. Raises Invalid once too little has arrived for too long.

    Only gunicorn says which socket it is; elsewhere, as in tests, a body takes its time.
    """

    def __init__(self, request: HttpRequest) -> None:
        self._request = request
        self._socket: socket.socket | None = request.META.get("gunicorn.socket")
        self._is_over = threading.Event()
        self._waiting_since: float | None = None  # None while the store is at work, which is not the client's fault
        self._has_stalled = False

    def __enter__(self) -> PacedBody:
        if self._socket is not None:
            threading.Thread(target=self._watch, args=(self._socket,), name="upload-pace", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over.set()

    def _watch(self, connection: socket.socket) -> None:
        limit = settings.UPLOAD_STALL_SECONDS
        while not self._is_over.wait(limit / 4):
            since = self._waiting_since
            if since is not None and time.monotonic() - since > limit:
                self._has_stalled = True
                with suppress(OSError):  # the client has gone by itself
                    connection.shutdown(socket.SHUT_RD)
                return

    def read(self, size: int, /) -> bytes:
        """At most 64 KiB."""
        self._waiting_since = time.monotonic()
        try:
            piece = self._request.read(min(size, PIECE))
        except UnreadablePostError as error:
            raise self._stalled() or Invalid("The upload broke off. Send the file again.") from error
        self._waiting_since = None
        if stalled := self._stalled():
            raise stalled
        return piece

    def _stalled(self) -> Invalid | None:
        if not self._has_stalled:
            return None
        return Invalid(
            f"The upload was ended: less than {PIECE // 1024} KiB arrived in {settings.UPLOAD_STALL_SECONDS} seconds. "
            "Send the file again."
        )
