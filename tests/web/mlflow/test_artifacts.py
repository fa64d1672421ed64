"""Files over HTTP: up and down as streams, in parts, and never rendered."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
from typing import Any

import pytest
from django.http import HttpResponse
from pytest_django import Settings

from accounts.models import User
from registry.models import ArtifactFile, ModelVersion
from tests.factories import make_files, make_logged_model, make_run, make_version
from tests.web.mlflow.conftest import Door
from tracking.models import Run

pytestmark = pytest.mark.django_db
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def run(mira: User) -> Run:
    return make_run(user=mira)


def at(run: Run, path: str = "") -> str:
    return f"{FILES}/{run.experiment_id}/{run.run_id}/artifacts" + (f"/{path}" if path else "")


def put(door: Door, target: str, content: bytes = b"bytes", **options: Any) -> HttpResponse:
    return door.client.generic("PUT", target, content, content_type="text/plain", **options)  # type: ignore[return-value]


def body_of(answer: HttpResponse) -> bytes:
    return b"".join(answer.streaming_content) if answer.streaming else answer.content  # type: ignore[attr-defined]


def test_a_file_goes_up_and_comes_down(door: Door, run: Run) -> None:
    content = bytes(range(256)) * 9000

    assert put(door, at(run, "model/model.pkl"), content).status_code == 200
    answer = door.send("GET", at(run, "model/model.pkl"))

    assert answer.status_code == 200 and body_of(answer) == content
    assert answer["Content-Length"] == str(len(content))
    assert answer["ETag"] == f'"{hashlib.sha256(content).hexdigest()}"'
    assert answer["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ""]
)
def test_the_body_is_bytes_whatever_its_type(door: Door, run: Run, content_type: str) -> None:
    answer = door.client.generic("PUT", at(run, "a"), b"--x not a form", content_type=content_type)

    assert answer.status_code == 200
    assert ArtifactFile.objects.get().size == 14


def test_an_empty_file_is_a_file(door: Door, run: Run) -> None:
    assert put(door, at(run, "empty"), b"").status_code == 200

    answer = door.send("GET", at(run, "empty"))
    assert (answer.status_code, body_of(answer), answer["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    "name", ["a b.txt", "größe.txt", "100%.txt", "a%2Bb", "+plus", "a;b=c", "a&b", "a'b\"c", "日本/語"]
)
def test_names_of_all_kinds_are_kept(door: Door, run: Run, name: str) -> None:
    folder, _, base = name.rpartition("/")
    target = at(run) + "/" + "/".join(_quoted(part) for part in name.split("/"))

    assert put(door, target).status_code == 200

    listed = door.get(FILES, path=at(run, folder).removeprefix(FILES + "/"))
    assert listed == {"files": [{"path": base, "is_dir": False, "file_size": 5}]}
    assert body_of(door.send("GET", target)) == b"bytes"


def _quoted(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


# -- What comes back is never rendered ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("page.html", "text/plain"),
        ("PAGE.HTM", "text/plain"),
        ("plot.svg", "text/plain"),
        ("x.xhtml", "application/octet-stream"),
        ("x.xml", "text/plain"),
        ("x.js", "text/plain"),
        ("x.mhtml", "application/octet-stream"),
        ("x.html.gz", "application/octet-stream"),
        ("model.pkl", "application/octet-stream"),
        ("MLmodel", "text/plain"),
        ("conda.yaml", "text/plain"),
        ("plot.png", "image/png"),
        ("noending", "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_was_uploaded_is_an_attachment(door: Door, run: Run, name: str, content_type: str, method: str) -> None:
    put(door, at(run, name), b"<script>alert(1)</script>")

    answer = door.send(method, at(run, name))

    assert answer["Content-Type"] == content_type
    assert answer["Content-Disposition"].startswith("attachment")
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Content-Security-Policy"] == "sandbox; default-src 'none'"


def test_a_name_cannot_break_out_of_its_header(door: Door, run: Run) -> None:
    name = 'a"; filename=evil.html; x=\u2028ü'
    target = f"{at(run)}/{_quoted(name)}"
    put(door, target)

    assert door.send("GET", target)["Content-Disposition"] == f"attachment; filename*=UTF-8''{_expected(name)}"


def _expected(name: str) -> str:
    plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-~"
    return "".join(sign if sign in plain else _quoted(sign) for sign in name)


# -- Parts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "status", "content", "content_range"),
    [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", 206, b"56789", "bytes 5-9/10"),
        ("bytes=9-9", 206, b"9", "bytes 9-9/10"),
        ("bytes=10-", 416, b"", "bytes */10"),
        ("bytes=-0", 416, b"", "bytes */10"),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("bytes=a-b", 200, b"0123456789", None),
        ("lines=0-1", 200, b"0123456789", None),
        (f"bytes={'9' * 5000}-", 200, b"0123456789", None),
    ],
)
def test_a_part_of_a_file(
    door: Door, run: Run, wanted: str, status: int, content: bytes, content_range: str | None
) -> None:
    put(door, at(run, "a"), b"0123456789")

    answer = door.client.get(at(run, "a"), headers={"range": wanted})

    assert (answer.status_code, body_of(answer), answer.get("Content-Range")) == (status, content, content_range)


def test_a_part_of_other_bytes_is_the_whole(door: Door, run: Run) -> None:
    put(door, at(run, "a"), b"0123456789")
    etag = door.send("HEAD", at(run, "a"))["ETag"]

    same = door.client.get(at(run, "a"), headers={"range": "bytes=8-", "if-range": etag})
    other = door.client.get(at(run, "a"), headers={"range": "bytes=8-", "if-range": '"other"'})

    assert (body_of(same), body_of(other)) == (b"89", b"0123456789")


def test_who_has_it_already_gets_no_bytes(door: Door, run: Run) -> None:
    put(door, at(run, "a"))
    etag = door.send("HEAD", at(run, "a"))["ETag"]

    answer = door.client.get(at(run, "a"), headers={"if-none-match": etag})

    assert (answer.status_code, answer.content) == (304, b"")


# -- Lists -------------------------------------------------------------------------------------------------------------


def test_a_list_names_what_lies_in_a_folder(door: Door, run: Run) -> None:
    make_files(run.run_id, {"model/MLmodel": b"12", "model/data/x": b"1", "model/empty": b"", "z.txt": b"1"})
    root = at(run).removeprefix(FILES + "/")

    assert door.get(FILES, path=f"{root}/model") == {
        "files": [
            {"path": "MLmodel", "is_dir": False, "file_size": 2},
            {"path": "data", "is_dir": True},
            {"path": "empty", "is_dir": False},
        ]
    }
    assert door.get(FILES, path=f"{root}/z.txt") == door.get(FILES, path=f"{root}/absent") == {}
    assert door.get(FILES) == door.get(FILES, path="") == {}


def test_a_list_of_a_run_is_relative_to_its_root(door: Door, run: Run) -> None:
    make_files(run.run_id, {"model/data/x": b"1"})
    uri = f"mlflow-artifacts:/{run.experiment_id}/{run.run_id}/artifacts"

    assert door.get("artifacts/list", run_id=run.run_id) == {
        "root_uri": uri,
        "files": [{"path": "model", "is_dir": True}],
    }
    assert door.get("artifacts/list", run_id=run.run_id, path="model/data") == {
        "root_uri": uri,
        "files": [{"path": "model/data/x", "is_dir": False, "file_size": 1}],
    }
    assert door.refused("GET", "artifacts/list", query={"run_id": "x"})[1] == "RESOURCE_DOES_NOT_EXIST"
    assert door.refused("GET", "artifacts/list", query={"run_id": run.run_id, "path": "../x"})[2] == "Invalid path"


# -- Refusals ----------------------------------------------------------------------------------------------------------

HOSTILE = [
    "..",
    "../../x",
    "a/../../x",
    "%2e%2e/x",
    "%252e%252e%252fx",
    "%2fetc/passwd",
    "/etc/passwd",
    "a//b",
    "a/./b",
    "a%5c..%5cb",
    "C:%5cx",
    "a%23b",
    "%252523",
]


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_hostile_paths_are_refused_in_every_call(door: Door, run: Run, method: str, path: str) -> None:
    make_files(run.run_id, {"a": b"1"})

    answer = door.client.generic(method, f"{at(run)}/{path}", b"x" if method == "PUT" else b"")

    assert answer.status_code == 400
    if method != "HEAD":
        error = json.loads(answer.content)
        assert (error["error_code"], error["message"][:12]) == ("INVALID_PARAMETER_VALUE", "Invalid path")
    assert ArtifactFile.objects.count() == 1


@pytest.mark.parametrize("path", ["a%00b", "a%0d%0ab", "a%7fb"])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_control_characters_name_no_file(door: Door, run: Run, method: str, path: str) -> None:
    assert door.refused(method, f"{at(run)}/{path}")[0] in (400, 404)
    assert not ArtifactFile.objects.exists()


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize("call", ["mpu/create", "mpu/complete", "mpu/abort", "presigned"])
def test_hostile_paths_are_refused_where_nothing_is_offered_too(door: Door, run: Run, call: str, path: str) -> None:
    target = f"/api/2.0/mlflow-artifacts/{call}/{run.experiment_id}/{run.run_id}/artifacts/{path}"

    assert door.client.generic("GET" if call == "presigned" else "POST", target).status_code == 400


@pytest.mark.parametrize(
    ("call", "word"),
    [("mpu/create", "upload"), ("mpu/complete", "upload"), ("mpu/abort", "upload"), ("presigned", "download")],
)
def test_direct_transfer_is_not_offered(door: Door, run: Run, call: str, word: str) -> None:
    target = f"/api/2.0/mlflow-artifacts/{call}/{run.experiment_id}/{run.run_id}/artifacts/model"

    answer = door.client.generic(
        "GET" if call == "presigned" else "POST", target, b"{}", content_type="application/json"
    )

    message = f"Multipart {word} is not supported for the current artifact repository"
    assert (answer.status_code, json.loads(answer.content)) == (
        501,
        {"error_code": "NOT_IMPLEMENTED", "message": message},
    )


def test_what_is_not_there(door: Door, run: Run) -> None:
    assert door.refused("GET", at(run, "x")) == (404, "RESOURCE_DOES_NOT_EXIST", "No such artifact: 'x'")
    assert door.delete(at(run, "x")) == {}
    make_files(run.run_id, {"d/x": b""})
    assert door.refused("GET", at(run, "d"))[:2] == (400, "INVALID_PARAMETER_VALUE")


def test_files_are_deleted(door: Door, run: Run) -> None:
    make_files(run.run_id, {"d/x": b"", "d/y": b"", "z": b""})

    assert door.delete(at(run, "d")) == {}

    assert list(ArtifactFile.objects.values_list("path", flat=True)) == ["z"]


def test_a_short_body_is_refused(door: Door, run: Run) -> None:
    answer = put(door, at(run, "a"), b"", CONTENT_LENGTH="9", **{"wsgi.input": io.BytesIO(b"12345")})

    assert answer.status_code == 400 and b"broke off" in answer.content
    assert not ArtifactFile.objects.exists()


def test_the_files_of_a_version_are_frozen(door: Door, run: Run) -> None:
    make_files(run.run_id, {"model/MLmodel": b"1"})
    version = make_version(run=run, files={})
    ModelVersion.objects.filter(pk=version.pk).update(artifact_owner=run.run_id, artifact_folder="model")

    answer = put(door, at(run, "model/MLmodel"), b"other")

    assert (answer.status_code, json.loads(answer.content)["error_code"]) == (409, "RESOURCE_CONFLICT")
    assert door.refused("DELETE", at(run, "model"))[:2] == (409, "RESOURCE_CONFLICT")
    assert body_of(door.send("GET", at(run, "model/MLmodel"))) == b"1"


def test_others_read_and_do_not_write(door: Door, reader: Door, run: Run) -> None:
    put(door, at(run, "a"))

    assert body_of(reader.send("GET", at(run, "a"))) == b"bytes"
    assert put(reader, at(run, "a"), b"other").status_code == 403
    assert reader.refused("DELETE", at(run, "a"))[:2] == (403, "PERMISSION_DENIED")
    assert ArtifactFile.objects.get().size == 5


def test_a_read_only_token_only_reads(mira: User, run: Run) -> None:
    make_files(run.run_id, {"a": b"1"})
    door = Door(mira, read_only=True)

    assert put(door, at(run, "b")).status_code == 403
    assert door.refused("DELETE", at(run, "a"))[0] == 403
    assert body_of(door.send("GET", at(run, "a"))) == b"1"
    assert door.get(FILES, path=at(run).removeprefix(FILES + "/"))["files"]


def test_files_of_a_logged_model(door: Door, run: Run) -> None:
    model = make_logged_model(run)
    root = f"{model.experiment_id}/models/{model.model_id}/artifacts"

    assert put(door, f"{FILES}/{root}/MLmodel").status_code == 200
    assert door.get(FILES, path=root) == {"files": [{"path": "MLmodel", "is_dir": False, "file_size": 5}]}
    assert body_of(door.send("GET", f"/ajax-api/2.0/mlflow-artifacts/artifacts/{root}/MLmodel")) == b"bytes"


# -- A store that fails ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [(errno.ENOSPC, 507, "RESOURCE_EXHAUSTED"), (errno.EIO, 503, "TEMPORARILY_UNAVAILABLE")],
)
def test_a_store_that_fails_is_told_in_a_sentence(
    door: Door, run: Run, monkeypatch: pytest.MonkeyPatch, number: int, status: int, code: str
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)

    answer = put(door, at(run, "a"))

    error = json.loads(answer.content)
    assert (answer.status_code, error["error_code"]) == (status, code)
    assert error["message"].startswith("The file storage")
    assert not ArtifactFile.objects.exists()


# -- For browsers ------------------------------------------------------------------------------------------------------


def test_a_browser_downloads_a_file_of_a_run(reader: Door, run: Run) -> None:
    make_files(run.run_id, {"d/page.html": b"<script>"})

    for key in ("run_id", "run_uuid"):
        answer = reader.send("GET", "/get-artifact", query={key: run.run_id, "path": "d/page.html"})
        assert (answer.status_code, body_of(answer)) == (200, b"<script>")
    assert answer["Content-Type"] == "text/plain"
    assert answer["Content-Disposition"] == "attachment; filename=page.html"


def test_a_browser_downloads_a_file_of_a_version_that_it_may_see(reader: Door, settings: Settings) -> None:
    version = make_version("churn", files={"MLmodel": b"flavors: {}"})
    wanted = {"name": "churn", "version": str(version.version), "path": "MLmodel"}

    seen = reader.send("GET", "/model-versions/get-artifact", query=wanted)
    settings.DEFAULT_MODEL_LEVEL = "NONE"
    hidden = reader.send("GET", "/model-versions/get-artifact", query=wanted)

    assert (seen.status_code, body_of(seen)) == (200, b"flavors: {}")
    assert hidden.status_code == 404


def test_files_of_a_logged_model_are_listed_and_sent(reader: Door, run: Run) -> None:
    model = make_logged_model(run)
    make_files(model.model_id, {"data/x": b"12", "MLmodel": b"1"})

    listed = reader.get(f"logged-models/{model.model_id}/artifacts/directories", artifact_directory_path="data")
    answer = reader.send(
        "GET",
        f"/ajax-api/2.0/mlflow/logged-models/{model.model_id}/artifacts/files",
        query={"artifact_file_path": "data/x"},
    )

    assert listed == {
        "root_uri": f"mlflow-artifacts:/{model.experiment_id}/models/{model.model_id}/artifacts",
        "files": [{"path": "data/x", "is_dir": False, "file_size": 2}],
    }
    assert body_of(answer) == b"12"


@pytest.mark.parametrize("path", ["../x", "%2e%2e/x", "/etc/passwd", "a#b", ""])
def test_browsers_are_refused_hostile_paths_too(door: Door, run: Run, path: str) -> None:
    model = make_logged_model(run)
    version = make_version("churn", files={"MLmodel": b"1"})

    for address, query in (
        ("/get-artifact", {"run_id": run.run_id, "path": path}),
        ("/model-versions/get-artifact", {"name": "churn", "version": str(version.version), "path": path}),
        (f"/api/2.0/mlflow/logged-models/{model.model_id}/artifacts/files", {"artifact_file_path": path}),
    ):
        answer = door.send("GET", address, query=query)
        assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")


def test_a_file_says_when_it_came(door: Door, run: Run) -> None:
    put(door, at(run, "a"))

    modified = door.send("HEAD", at(run, "a"))["Last-Modified"]

    assert door.client.get(at(run, "a"), headers={"if-modified-since": modified}).status_code == 304
    part = door.client.get(at(run, "a"), headers={"range": "bytes=0-1", "if-range": modified})
    assert (part.status_code, body_of(part)) == (206, b"by")  # type: ignore[arg-type]
