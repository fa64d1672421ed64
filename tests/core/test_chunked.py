"""Bodies without a length: read to their end where the server knows it, refused elsewhere."""

from __future__ import annotations

import io

import pytest
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from gunicorn.http.errors import InvalidChunkSize
from pytest_django import Settings

from core.chunked import ChunkedBodies, Chunks


def answer_to(body: bytes, **environ: object) -> HttpResponse:
    request = RequestFactory().post(
        "/x", **{"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input": io.BytesIO(body), **environ}
    )
    request.META.pop("CONTENT_LENGTH", None)

    def echo(received: HttpRequest) -> HttpResponse:
        return HttpResponse(received.read())

    return ChunkedBodies(echo)(request)


def test_a_chunked_body_is_read_where_its_end_is_known() -> None:
    assert answer_to(b"bytes", **{"wsgi.input_terminated": True}).content == b"bytes"


def test_it_is_refused_where_its_end_is_not_known() -> None:
    assert answer_to(b"bytes").status_code == 411


def test_a_body_read_whole_has_the_limit_of_forms(settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10

    assert Chunks(io.BytesIO(b"x" * 10)).read() == b"x" * 10
    with pytest.raises(RequestDataTooBig):
        Chunks(io.BytesIO(b"x" * 11)).read()
    assert Chunks(io.BytesIO(b"x" * 11)).read(11) == b"x" * 11


@pytest.mark.parametrize("size", [None, 5])
def test_chunks_that_cannot_be_read_are_a_broken_connection(size: int | None) -> None:
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise InvalidChunkSize(b"zz")

    with pytest.raises(OSError, match="chunks of the body"):
        Chunks(Broken()).read(size)
