"""Request bodies without Content-Length.

WSGI frameworks take a missing length for an empty body, which would store a chunked upload as an empty file. Gunicorn
marks an input that ends by itself (``wsgi.input_terminated``): there the body is read to its end; elsewhere the
request is refused with 411.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, JsonResponse


class ChunkedBodies:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        chunked = request.META.get("HTTP_TRANSFER_ENCODING", "").lower() == "chunked"
        if chunked and not request.META.get("CONTENT_LENGTH"):
            if not request.META.get("wsgi.input_terminated"):
                message = "Send a Content-Length: this server cannot read a chunked body here."
                return JsonResponse({"error_code": "BAD_REQUEST", "message": message}, status=411)
            request._stream = request.META["wsgi.input"]
        return self.get_response(request)
