"""/api/2.0/mlflow-artifacts/… and /api/2.0/mlflow/artifacts/list: files as streams.

What was uploaded is only ever sent as an attachment that no browser renders.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from django.views.decorators.http import require_safe

from core.blobs import Part
from core.errors import CountersignError, Invalid
from registry import artifacts
from registry.artifacts import Entry, Place
from registry.queries import get_version
from tracking.services.logged_models import get_logged_model
from tracking.services.runs import get_run
from web import errors
from web.files import serve
from web.mlflow.endpoint import by_method, endpoint
from web.mlflow.messages import artifact_uri, artifact_uri_of_model
from web.mlflow.params import Params
from web.signed_in import SignedInRequest
from web.uploads import PacedBody


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
    return {"root_uri": artifact_uri(run), **_listing_below(run.run_id, params.string("path"))}


@endpoint("GET", only_reads=True)
def list_of_model(request: SignedInRequest, params: Params, *, model_id: str) -> dict[str, Any]:
    """Paths relative to the logged model's root."""
    model = get_logged_model(model_id)
    below = _listing_below(model.model_id, params.string("artifact_directory_path"))
    return {"root_uri": artifact_uri_of_model(model), **below}


def _listing_below(owner: str, folder: str) -> dict[str, Any]:
    folder = folder.removesuffix("/")
    entries = artifacts.list_folder(Place(owner, artifacts.clean_path(folder)))
    return _listing(entries, f"{folder}/" if folder else "")


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
        with PacedBody(request) as body:
            artifacts.store(actor=request.user, place=place, stream=body, length=int(length) if length else None)
    except CountersignError as error:
        return errors.response(request, error)
    return HttpResponse(b"{}", content_type="application/json")


@endpoint("DELETE")
def _delete(request: SignedInRequest, params: Params, *, path: str) -> dict[str, Any]:
    artifacts.delete_path(actor=request.user, place=artifacts.parse_path(path))
    return {}


one = by_method(GET=_download, PUT=_upload, DELETE=_delete)


# -- Straight between client and store ---------------------------------------------------------------------------------


def _place(folder: str, params: Params) -> Place:
    """``path`` is the file's name. Clients before 3.18 send their whole local path, of whatever system."""
    place = artifacts.parse_path(folder)
    artifacts.require_offered("upload")  # before the rest of the body is looked at
    return place.at(params.string("path", required=True).replace("\\", "/").rsplit("/", 1)[-1])


@endpoint("POST")
def begin_upload(request: SignedInRequest, params: Params, *, path: str) -> dict[str, Any]:
    place = _place(path, params)
    count = params.integer("num_parts", required=True)
    assert count is not None
    begun = artifacts.begin_upload(actor=request.user, place=place, parts=count)
    return {
        "upload_id": begun.upload.pk,
        "credentials": [
            {"url": url, "part_number": number, "headers": {}} for number, url in enumerate(begun.urls, start=1)
        ],
    }


@endpoint("POST")
def finish_upload(request: SignedInRequest, params: Params, *, path: str) -> dict[str, Any]:
    place = _place(path, params)
    artifacts.finish_upload(
        actor=request.user,
        place=place,
        upload_id=params.string("upload_id", required=True),
        parts=[_part(item) for item in params.objects("parts")],
    )
    return {}


def _part(params: Params) -> Part:
    number = params.integer("part_number", required=True, low=1, high=10_000)
    assert number is not None
    return Part(number, params.string("etag", required=True, max_length=200))


@endpoint("POST")
def abort_upload(request: SignedInRequest, params: Params, *, path: str) -> dict[str, Any]:
    place = _place(path, params)
    artifacts.abort_upload(actor=request.user, place=place, upload_id=params.string("upload_id", required=True))
    return {}


@endpoint("GET", only_reads=True)
def direct_download(request: SignedInRequest, params: Params, *, path: str) -> dict[str, Any]:
    file, url = artifacts.direct_download(artifacts.parse_path(path))
    return {"url": url, "headers": {}, "file_size": file.size}


# -- For browsers ------------------------------------------------------------------------------------------------------


@require_safe
def file_of_run(request: SignedInRequest) -> HttpResponseBase:
    params = Params.of_query(request.GET)
    run = get_run(params.string("run_id") or params.string("run_uuid", required=True))
    path = artifacts.clean_path(params.string("path", required=True))
    return serve(request, artifacts.get_file(Place(run.run_id, path)))


@require_safe
def file_of_version(request: SignedInRequest) -> HttpResponseBase:
    params = Params.of_query(request.GET)
    version = get_version(request.user, params.string("name", required=True), params.version())
    return serve(request, artifacts.file_of_version(version, params.string("path", required=True)))


@require_safe
def file_of_model(request: SignedInRequest, *, model_id: str) -> HttpResponseBase:
    params = Params.of_query(request.GET)
    path = artifacts.clean_path(params.string("artifact_file_path", required=True))
    return serve(request, artifacts.get_file(Place(get_logged_model(model_id).model_id, path)))
