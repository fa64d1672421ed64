"""/api/2.0/mlflow-artifacts/… and /api/2.0/mlflow/artifacts/list: files as streams.

What was uploaded is only ever sent as an attachment that no browser renders.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseBase, UnreadablePostError

from core.errors import CountersignError, Invalid
from registry import artifacts
from registry.artifacts import Entry, Place
from tracking.services.runs import get_run
from web import errors
from web.files import serve
from web.mlflow.endpoint import by_method, endpoint
from web.mlflow.messages import artifact_uri
from web.mlflow.params import Params
from web.signed_in import SignedInRequest


@endpoint("GET", only_reads=True)
def list_root(request: SignedInRequest, params: Params) -> dict[str, Any]:
    path = params.string("path").removesuffix("/")
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
def list_of_run(request: SignedInRequest, params: Params) -> dict[str, Any]:
    """Paths relative to the run's root."""
    run = get_run(params.string("run_id") or params.string("run_uuid", required=True))
    folder = params.string("path").removesuffix("/")
    entries = artifacts.list_folder(Place(run.run_id, artifacts.clean_path(folder) if folder else ""))
    return {"root_uri": artifact_uri(run), **_listing(entries, f"{folder}/" if folder else "")}


def _download(request: SignedInRequest, *, path: str) -> HttpResponseBase:
    try:
        return serve(request, artifacts.get_file(artifacts.parse_path(path)))
    except CountersignError as error:
        return errors.response(request, error)


def _upload(request: SignedInRequest, *, path: str) -> HttpResponseBase:
    try:
        place = artifacts.parse_path(path)
        length = request.META.get("CONTENT_LENGTH") or None
        if length is not None and not length.isdecimal():
            raise Invalid("Content-Length must be a number.")
        artifacts.store(actor=request.user, place=place, stream=request, length=int(length) if length else None)
    except UnreadablePostError:
        return errors.response(request, Invalid("The upload broke off. Send the file again."))
    except CountersignError as error:
        return errors.response(request, error)
    return HttpResponse(b"{}", content_type="application/json")


@endpoint("DELETE")
def _delete(request: SignedInRequest, params: Params, *, path: str) -> dict[str, Any]:
    artifacts.delete_path(actor=request.user, place=artifacts.parse_path(path))
    return {}


one = by_method(GET=_download, PUT=_upload, DELETE=_delete)


def not_implemented(request: SignedInRequest, *, path: str) -> HttpResponse:
    """Direct transfer: clients fall back to plain upload and download."""
    try:
        artifacts.clean_path(path)
    except CountersignError as error:
        return errors.response(request, error)
    what = "download" if "/presigned/" in request.path else "upload"
    message = f"Multipart {what} is not supported for the current artifact repository"
    return errors.mlflow_body(501, "NOT_IMPLEMENTED", message)
