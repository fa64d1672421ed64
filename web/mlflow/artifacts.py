"""/api/2.0/mlflow-artifacts/… and /api/2.0/mlflow/artifacts/list: files as streams.

What was uploaded is only ever sent as an attachment that no browser renders.
"""

from __future__ import annotations

import mimetypes
import re
from typing import Any
from urllib.parse import quote

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from core.errors import CountersignError, Invalid
from registry import artifacts
from registry.artifacts import Entry, Place
from registry.models import ArtifactFile
from tracking.services.runs import get_run
from web import errors
from web.mlflow.endpoint import by_method, endpoint
from web.mlflow.messages import artifact_uri
from web.mlflow.params import Params

# Sent as they are; everything else text-like as plain text, the rest as bytes. HTML and SVG never as themselves.
_KEPT_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "application/pdf", "application/zip"})
_TEXT_ENDINGS = (".txt", ".log", ".yaml", ".yml", ".json", ".csv", ".tsv", ".py", ".md", ".html", ".htm", ".svg", ".xml", ".js", ".css")
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def content_type(path: str) -> str:
    name = path.rsplit("/", 1)[-1].lower()
    if name.endswith(_TEXT_ENDINGS) or name in ("mlmodel", "mlproject", "conda.yaml"):
        return "text/plain; charset=utf-8"
    guessed = mimetypes.guess_type(name)[0] or ""
    return guessed if guessed in _KEPT_TYPES else "application/octet-stream"


@endpoint("GET", only_reads=True)
def list_root(request: HttpRequest, params: Params) -> dict[str, Any]:
    path = params.string("path").strip("/")
    if not path:
        return {}  # runs and logged models are listed by their own calls
    return _listing(artifacts.list_folder(artifacts.parse_path(path)))


def _listing(entries: list[Entry], prefix: str = "") -> dict[str, Any]:
    files = [_entry(entry, prefix) for entry in entries]
    return {"files": files} if files else {}


def _entry(entry: Entry, prefix: str) -> dict[str, Any]:
    message: dict[str, Any] = {"path": prefix + entry.name, "is_dir": entry.is_dir}
    if not entry.is_dir and entry.size:
        message["file_size"] = entry.size
    return message


@endpoint("GET", only_reads=True)
def list_of_run(request: HttpRequest, params: Params) -> dict[str, Any]:
    """Paths relative to the run's root."""
    run = get_run(params.string("run_id") or params.string("run_uuid", required=True))
    folder = params.string("path").strip("/")
    entries = artifacts.list_folder(Place(run.run_id, artifacts.clean_path(folder) if folder else ""))
    return {"root_uri": artifact_uri(run), **_listing(entries, f"{folder}/" if folder else "")}


def _download(request: HttpRequest, *, path: str) -> HttpResponseBase:
    try:
        return serve(request, artifacts.get_file(artifacts.parse_path(path)))
    except CountersignError as error:
        return errors.response(request, error)


def serve(request: HttpRequest, file: ArtifactFile) -> HttpResponseBase:
    """The bytes of a file, or the range that was asked for."""
    etag = f'"{file.sha256}"'
    if request.headers.get("If-None-Match") == etag:
        return HttpResponse(status=304, headers={"ETag": etag})
    start, end, status = _range(request.headers.get("Range", ""), file.size)
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


def _upload(request: HttpRequest, *, path: str) -> HttpResponseBase:
    try:
        place = artifacts.parse_path(path)
        length = request.META.get("CONTENT_LENGTH") or None
        if length is not None and not length.isdigit():
            raise Invalid("Content-Length must be a number.")
        artifacts.store(actor=request.user, place=place, stream=request, length=int(length) if length else None)
    except CountersignError as error:
        return errors.response(request, error)
    return HttpResponse(b"{}", content_type="application/json")


@endpoint("DELETE")
def _delete(request: HttpRequest, params: Params, *, path: str) -> dict[str, Any]:
    artifacts.delete_path(actor=request.user, place=artifacts.parse_path(path))
    return {}


one = by_method(GET=_download, PUT=_upload, DELETE=_delete)


def not_implemented(request: HttpRequest, **_kwargs: str) -> HttpResponse:
    """Direct transfer: clients fall back to plain upload and download."""
    what = "download" if "/presigned/" in request.path else "upload"
    message = f"Multipart {what} is not supported for the current artifact repository"
    return errors.mlflow_body(501, "NOT_IMPLEMENTED", message)
