"""mpu/… and presigned/…: files that go straight between client and store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import requests
from pytest_django import Settings

from accounts.models import User
from registry.models import ArtifactFile, ModelVersion
from tests.buckets import Bucket, running_bucket
from tests.factories import make_run, make_version
from tests.web.mlflow.conftest import Door
from tracking.models import Run

pytestmark = pytest.mark.django_db
SERVICE = "/api/2.0/mlflow-artifacts"
INFO = "/api/3.0/mlflow/server-info"


@pytest.fixture(scope="module")
def _bucket() -> Iterator[Bucket]:
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture(autouse=True)
def bucket(_bucket: Bucket, settings: Settings) -> Bucket:
    _bucket.empty()
    settings.STORAGES = {**settings.STORAGES, "default": _bucket.storage(direct_address="")}
    return _bucket


@pytest.fixture
def run(mira: User) -> Run:
    return make_run(user=mira)


def at(call: str, run: Run, folder: str = "model") -> str:
    return f"{SERVICE}/{call}/{run.experiment_id}/{run.run_id}/artifacts" + (f"/{folder}" if folder else "")


def sent(door: Door, run: Run, name: str = "weights.bin", content: bytes = b"123") -> dict[str, Any]:
    """The body of mpu/complete, for a file whose one part has arrived."""
    begun = door.post(at("mpu/create", run), path=name, num_parts=1)
    (credential,) = begun["credentials"]
    etag = requests.put(credential["url"], data=content, headers=credential["headers"], timeout=10).headers["ETag"]
    part = {"part_number": credential["part_number"], "etag": etag, "url": credential["url"]}
    return {"path": name, "upload_id": begun["upload_id"], "parts": [part]}


def test_a_file_goes_up_and_comes_down(door: Door, reader: Door, run: Run) -> None:
    assert door.post(at("mpu/complete", run), **sent(door, run)) == {}

    found = reader.get(at("presigned", run) + "/weights.bin")

    assert set(found) == {"url", "headers", "file_size"} and found["file_size"] == 3
    assert requests.get(found["url"], headers=found["headers"], timeout=10).content == b"123"
    answer = door.send("GET", at("artifacts", run) + "/weights.bin", None)
    assert b"".join(answer.streaming_content) == b"123"  # type: ignore[attr-defined]


def test_clients_are_told_that_it_is_offered(door: Door, bucket: Bucket, settings: Settings) -> None:
    flags = ("multipart_uploads_enabled", "multipart_downloads_enabled")

    assert [door.get(INFO)[flag] for flag in flags] == [True, True]
    settings.STORAGES = {**settings.STORAGES, "default": bucket.storage()}
    assert [door.get(INFO)[flag] for flag in flags] == [False, False]


@pytest.mark.parametrize("name", ["/home/mira/weights.bin", "C:\\Users\\mira\\weights.bin", "weights.bin"])
def test_older_clients_send_their_whole_local_path(door: Door, run: Run, name: str) -> None:
    door.post(at("mpu/complete", run), **sent(door, run, name))

    assert ArtifactFile.objects.get().path == "model/weights.bin"


def test_an_aborted_upload_is_gone(door: Door, run: Run, bucket: Bucket) -> None:
    body = sent(door, run)
    named = {"path": body["path"], "upload_id": body["upload_id"]}

    assert door.post(at("mpu/abort", run), **named) == {}

    assert bucket.uploads() == []
    assert door.refused("POST", at("mpu/complete", run), body)[:2] == (404, "RESOURCE_DOES_NOT_EXIST")


def test_the_files_of_a_version_take_no_upload(door: Door, run: Run) -> None:
    body = sent(door, run)
    version = make_version(run=run, files={})
    ModelVersion.objects.filter(pk=version.pk).update(artifact_owner=run.run_id, artifact_folder="model")

    for call, wanted in (("mpu/create", {"path": "weights.bin", "num_parts": 1}), ("mpu/complete", body)):
        assert door.refused("POST", at(call, run), wanted)[:2] == (409, "RESOURCE_CONFLICT")


def test_others_and_tokens_for_reading_upload_nothing(mira: User, reader: Door, run: Run) -> None:
    body = {"path": "weights.bin", "num_parts": 1}

    for other in (reader, Door(mira, read_only=True)):
        assert other.refused("POST", at("mpu/create", run), body)[:2] == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        ("create", {"path": ""}),
        ("create", {"path": ".."}),
        ("create", {"path": "%2e%2e%2fx"}),
        ("create", {"path": "a#b"}),
        ("create", {"path": "a/"}),
        ("create", {"path": 1}),
        ("create", {"num_parts": None}),
        ("create", {"num_parts": 0}),
        ("create", {"num_parts": 10_001}),
        ("create", {"num_parts": "many"}),
        ("complete", {"upload_id": ""}),
        ("complete", {"parts": "x"}),
        ("complete", {"parts": []}),
        ("complete", {"parts": [{}]}),
        ("complete", {"parts": [{"part_number": 0, "etag": "x"}]}),
        ("complete", {"parts": [{"part_number": 1, "etag": ""}]}),
        ("complete", {"parts": [{"part_number": 1, "etag": '"wrong"'}]}),
        ("abort", {"upload_id": ""}),
    ],
)
def test_bad_input_is_refused(door: Door, run: Run, call: str, wrong: dict[str, Any]) -> None:
    body = {"num_parts": 1, **sent(door, run), **wrong}

    assert door.refused("POST", at(f"mpu/{call}", run), body)[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert not ArtifactFile.objects.exists()


@pytest.mark.parametrize("folder", ["..", "%252e%252e", "a//b", "%2fetc", "a%5cb", "a%23b"])
@pytest.mark.parametrize("call", ["mpu/create", "mpu/complete", "mpu/abort", "presigned"])
def test_hostile_paths_are_refused_in_every_call(door: Door, run: Run, call: str, folder: str) -> None:
    method, body = ("GET", None) if call == "presigned" else ("POST", {"path": "x", "num_parts": 1, "upload_id": "x"})

    status, code, message = door.refused(method, at(call, run, folder), body)

    assert (status, code, message[:12]) == (400, "INVALID_PARAMETER_VALUE", "Invalid path")
