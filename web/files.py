"""Sending an uploaded file: always as an attachment that no browser renders, whole or in part."""

from __future__ import annotations

import mimetypes
import re
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import http_date

from registry import artifacts
from registry.models import ArtifactFile

# Sent as they are; everything else text-like as plain text, the rest as bytes. HTML and SVG never as themselves.
_KEPT_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "application/zip"})
_TEXT_ENDINGS = (
    ".txt",
    ".log",
    ".yaml",
    ".yml",
    ".json",
    ".csv",
    ".tsv",
    ".py",
    ".md",
    ".html",
    ".htm",
    ".svg",
    ".xml",
    ".js",
    ".css",
)
# Whatever a file is, a browser takes it for what we say it is, and lets it neither run nor load anything.
SHOWN_IN_A_BOX = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "sandbox; default-src 'none'"}
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def content_type(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower()
    if name.endswith(_TEXT_ENDINGS) or name in ("mlmodel", "mlproject", "conda.yaml"):
        return "text/plain"
    guessed = mimetypes.guess_type(name)[0] or ""
    return guessed if guessed in _KEPT_TYPES else "application/octet-stream"


def disposition(name: str) -> str:
    """As an attachment of this name: in the plain form that MLflow's clients look at where the name allows it."""
    if _TOKEN.fullmatch(name):
        return f"attachment; filename={name}"
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}"


def serve(request: HttpRequest, file: ArtifactFile) -> HttpResponseBase:
    """The bytes of a file, or the range that was asked for."""
    etag, modified = f'"{file.sha256}"', file.uploaded_at // 1000
    if unchanged := get_conditional_response(request, etag=etag, last_modified=modified):
        return unchanged
    wanted = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) not in (etag, http_date(modified)):
        wanted = ""  # the part that the client has is of other bytes
    start, end, status = _range(wanted, file.size)
    if status == 416:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{file.size}"})
    headers = {
        "Content-Length": str(end - start),
        "Content-Disposition": disposition(file.path.rsplit("/", 1)[-1]),
        **SHOWN_IN_A_BOX,
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Last-Modified": http_date(modified),
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers, content_type=content_type(file.path))
    chunks = artifacts.open_file(file, start=start, length=end - start)
    return StreamingHttpResponse(chunks, status=status, headers=headers, content_type=content_type(file.path))


def _range(header: str, size: int) -> tuple[int, int, int]:
    """(first, one past the last, HTTP status) of a single byte range; anything fancier gets the whole file."""
    match = _RANGE.fullmatch(header)
    if not match or match.groups() == ("", ""):
        return 0, size, 200
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size, 206 if int(last) and size else 416
    start, end = int(first), min(int(last) + 1, size) if last else size
    return (start, end, 206) if start < end else (0, size, 416)
