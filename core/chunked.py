"""Request bodies without Content-Length.

WSGI frameworks take a missing length for an empty body, which would store a chunked upload as an empty file. Gunicorn
marks an input that ends by itself (``wsgi.input_terminated``): there the body is read to its end; elsewhere the
request is refused with 411.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, JsonResponse
from gunicorn.http.errors import ParseException


class Input(Protocol):
    def read(self, size: int, /) -> bytes: ...


class ChunkedBodies:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        chunked = request.META.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
        if chunked and not request.META.get("CONTENT_LENGTH"):
            if not request.META.get("wsgi.input_terminated"):
                message = "Send a Content-Length: this server cannot read a chunked body here."
                return JsonResponse({"error_code": "BAD_REQUEST", "message": message}, status=411)
            request._stream = Chunks(request.META["wsgi.input"])  # type: ignore[assignment]
        return self.get_response(request)


class Chunks:
    """The input of a chunked request, with its limit and its faults as Django expects them."""

    def __init__(self, source: Input) -> None:
        self.source = source

    def read(self, size: int | None = None, /) -> bytes:
        """Without a size, all of it: only as much as a form may have, for no announced length was checked."""
        try:
            if size is not None and size >= 0:
                return self.source.read(size)
            limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
            body = self.source.read(limit + 1)
        except ParseException as error:
            raise OSError(f"The chunks of the body cannot be read: {error}") from error
        if len(body) > limit:
            raise RequestDataTooBig("Request body exceeded settings.DATA_UPLOAD_MAX_MEMORY_SIZE.")
        return body
