"""Sending an uploaded file: always as an attachment that no browser renders, whole or in part."""

from __future__ import annotations

import mimetypes
import re
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

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
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def content_type(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower()
    if name.endswith(_TEXT_ENDINGS) or name in ("mlmodel", "mlproject", "conda.yaml"):
        return "text/plain; charset=utf-8"
    guessed = mimetypes.guess_type(name)[0] or ""
    return guessed if guessed in _KEPT_TYPES else "application/octet-stream"


def serve(request: HttpRequest, file: ArtifactFile) -> HttpResponseBase:
    """The bytes of a file, or the range that was asked for."""
    etag = f'"{file.sha256}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    wanted = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) != etag:
        wanted = ""  # the part that the client has is of other bytes
    start, end, status = _range(wanted, file.size)
    if status == 416:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{file.size}"})
    headers = {
        "Content-Length": str(end - start),
        "Content-Disposition": f"attachment; filename*=UTF-8''{quote(file.path.rsplit('/', 1)[-1], safe='')}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Accept-Ranges": "bytes",
        "ETag": etag,
    }
    if status == 206:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{file.size}"
    if request.method == "HEAD":
        return HttpResponse(status=status, headers=headers, content_type=content_type(file.path))
    stream = artifacts.open_file(file)
    stream.seek(start)
    chunks = artifacts.read_chunks(stream, end - start)
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
