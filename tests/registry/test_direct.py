"""Files that go straight to the store: there only when whole and hashed, frozen and permitted like any other."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import pytest
import requests
import time_machine
from pytest_django import Settings

from accounts.models import User
from core.blobs import Part, blobs
from core.errors import Conflict, Invalid, NotFound, NotOffered, NotPermitted
from registry import artifacts
from registry.artifacts import Begun, Place, sweep
from registry.models import ArtifactFile, DirectUpload, ModelVersion
from tests.buckets import Bucket, running_bucket
from tests.factories import make_files, make_run, make_user, make_version
from tracking.models import Run

pytestmark = pytest.mark.django_db


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
def mira(db: None) -> User:
    return make_user("mira")


@pytest.fixture
def run(mira: User) -> Run:
    return make_run(user=mira)


@pytest.fixture
def place(run: Run) -> Place:
    return Place(run.run_id, "model/weights.bin")


def send(begun: Begun, *parts: bytes) -> list[Part]:
    """As a client does: each part to its address."""
    return [
        Part(number, requests.put(url, data=part, timeout=10).headers["ETag"])
        for number, (url, part) in enumerate(zip(begun.urls, parts, strict=True), start=1)
    ]


def upload(actor: User, place: Place, *parts: bytes) -> DirectUpload:
    begun = artifacts.begin_upload(actor=actor, place=place, parts=len(parts))
    sent = send(begun, *parts)
    artifacts.finish_upload(actor=actor, place=place, upload_id=begun.upload.pk, parts=sent)
    return begun.upload


def freeze(run: Run, folder: str) -> None:
    version = make_version(run=run, files={})
    ModelVersion.objects.filter(pk=version.pk).update(artifact_owner=run.run_id, artifact_folder=folder)


def test_a_file_in_parts_arrives_with_its_digest(mira: User, place: Place) -> None:
    first, second = b"a" * (5 * 2**20), b"the rest"

    upload(mira, place, first, second)

    file = artifacts.get_file(place)
    assert (file.size, file.sha256) == (len(first + second), hashlib.sha256(first + second).hexdigest())
    assert file.uploaded_by == mira
    assert b"".join(artifacts.open_file(file)) == first + second
    assert "weights" not in file.storage_key


def test_nothing_is_there_before_the_upload_is_finished(mira: User, place: Place, bucket: Bucket) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    send(begun, b"1")

    with pytest.raises(NotFound):
        artifacts.get_file(place)
    assert artifacts.list_folder(Place(place.owner, "")) == []
    assert bucket.keys() == []


def test_after_finishing_nobody_can_change_the_bytes(mira: User, place: Place) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=send(begun, b"reviewed"))

    late = requests.put(begun.urls[0], data=b"other", timeout=10)

    assert late.status_code >= 400
    assert b"".join(artifacts.open_file(artifacts.get_file(place))) == b"reviewed"


def test_finishing_again_is_fine(mira: User, place: Place) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    parts = send(begun, b"1")

    for _ in range(2):
        artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=parts)

    assert b"".join(artifacts.open_file(artifacts.get_file(place))) == b"1"
    with pytest.raises(Conflict, match="has arrived"):
        artifacts.abort_upload(actor=mira, place=place, upload_id=begun.upload.pk)


def test_finishing_goes_on_where_a_first_call_broke_off(mira: User, place: Place) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    parts = send(begun, b"1")
    direct = blobs().direct()
    assert direct is not None
    direct.complete(begun.upload.storage_key, begun.upload.store_id, parts)

    artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=parts)

    assert artifacts.get_file(place).size == 1


def test_a_new_file_replaces_the_old(
    mira: User, place: Place, bucket: Bucket, django_capture_on_commit_callbacks: object
) -> None:
    with django_capture_on_commit_callbacks(execute=True):  # type: ignore[operator]
        upload(mira, place, b"old")
        upload(mira, place, b"new")

    assert bucket.contents() == [b"new"]


def test_wrong_parts_can_be_named_again(mira: User, place: Place) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    parts = send(begun, b"1")

    with pytest.raises(Invalid, match="not the parts"):
        artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=[Part(1, '"wrong"')])
    artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=parts)

    assert artifacts.get_file(place).size == 1


def test_an_aborted_upload_leaves_nothing(mira: User, place: Place, bucket: Bucket) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    parts = send(begun, b"1")

    for _ in range(2):
        artifacts.abort_upload(actor=mira, place=place, upload_id=begun.upload.pk)

    with pytest.raises(NotFound, match="no such upload"):
        artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=parts)
    assert bucket.uploads() == bucket.keys() == []
    assert not DirectUpload.objects.exists() and not ArtifactFile.objects.exists()


@pytest.mark.parametrize("parts", [0, -1, 10_001])
def test_the_number_of_parts_has_limits(mira: User, place: Place, parts: int) -> None:
    with pytest.raises(Invalid, match="1 to 10000 parts"):
        artifacts.begin_upload(actor=mira, place=place, parts=parts)


# -- Who, and when -----------------------------------------------------------------------------------------------------


def test_the_files_of_a_version_take_no_upload(mira: User, run: Run, place: Place, bucket: Bucket) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    parts = send(begun, b"1")
    freeze(run, "model")

    with pytest.raises(Conflict, match="registered version"):
        artifacts.begin_upload(actor=mira, place=place, parts=1)
    with pytest.raises(Conflict, match="registered version"):
        artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=parts)

    assert bucket.uploads() == bucket.keys() == []
    assert not ArtifactFile.objects.exists() and not DirectUpload.objects.exists()


def test_a_version_that_is_registered_while_the_file_is_hashed_is_not_changed(
    mira: User, run: Run, place: Place, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    parts = send(begun, b"1")
    read = type(blobs()).read

    def overtaken(*args: object, **options: object) -> object:
        freeze(run, "model")
        return read(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(type(blobs()), "read", overtaken)

    with pytest.raises(Conflict, match="registered version"):
        artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=parts)

    assert bucket.keys() == [] and not ArtifactFile.objects.exists()


def test_an_upload_that_is_aborted_while_it_is_hashed_does_not_appear(
    mira: User, place: Place, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    parts = send(begun, b"1")
    read = type(blobs()).read

    def overtaken(*args: object, **options: object) -> object:
        stream = read(*args, **options)  # type: ignore[arg-type]
        artifacts.abort_upload(actor=mira, place=place, upload_id=begun.upload.pk)
        return stream

    monkeypatch.setattr(type(blobs()), "read", overtaken)

    with pytest.raises(Conflict, match="aborted while"):
        artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=parts)

    assert bucket.keys() == [] and not ArtifactFile.objects.exists()


def test_others_begin_and_finish_nothing(mira: User, place: Place) -> None:
    sam, admin = make_user("sam"), make_user("admin", is_superuser=True)
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    parts = send(begun, b"1")

    with pytest.raises(NotPermitted, match="mira"):
        artifacts.begin_upload(actor=sam, place=place, parts=1)
    for other in (sam, admin):
        with pytest.raises(NotFound):
            artifacts.finish_upload(actor=other, place=place, upload_id=begun.upload.pk, parts=parts)
        artifacts.abort_upload(actor=other, place=place, upload_id=begun.upload.pk)
    elsewhere = Place(place.owner, "other")
    with pytest.raises(NotFound):
        artifacts.finish_upload(actor=mira, place=elsewhere, upload_id=begun.upload.pk, parts=parts)

    artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=parts)


@pytest.mark.parametrize("path", ["d/file/below", "d", ""])
def test_a_name_is_a_file_or_a_folder(mira: User, run: Run, path: str, bucket: Bucket) -> None:
    artifacts.store(actor=mira, place=Place(run.run_id, "d/file"), stream=io.BytesIO(b"1"), length=1)

    with pytest.raises(Invalid, match="Invalid path"):
        upload(mira, Place(run.run_id, path), b"2")

    assert bucket.contents() == [b"1"] and bucket.uploads() == []


def test_a_store_that_clients_do_not_reach_offers_nothing(
    mira: User, place: Place, bucket: Bucket, settings: Settings
) -> None:
    settings.STORAGES = {**settings.STORAGES, "default": bucket.storage()}

    assert not artifacts.is_offered()
    with pytest.raises(NotOffered, match="Multipart upload is not supported"):
        artifacts.begin_upload(actor=mira, place=place, parts=1)
    with pytest.raises(NotOffered, match="Multipart download is not supported"):
        artifacts.direct_download(place)


# -- Down --------------------------------------------------------------------------------------------------------------


def test_an_address_gives_the_bytes_as_an_attachment(mira: User, run: Run) -> None:
    page = Place(run.run_id, "page.html")
    artifacts.store(actor=mira, place=page, stream=io.BytesIO(b"<script>"), length=8)

    file, url = artifacts.direct_download(page)
    answer = requests.get(url, timeout=10, headers={"Range": "bytes=1-3"})

    assert (file.size, answer.content) == (8, b"scr")
    assert answer.headers["Content-Type"] == "application/octet-stream"
    assert answer.headers["Content-Disposition"].startswith("attachment")


def test_there_is_no_address_for_what_is_not_there(run: Run) -> None:
    make_files(run.run_id, {"d/x": b""})

    with pytest.raises(NotFound):
        artifacts.direct_download(Place(run.run_id, "x"))
    with pytest.raises(Invalid):
        artifacts.direct_download(Place(run.run_id, "d"))


# -- Sweeping ----------------------------------------------------------------------------------------------------------


def test_an_abandoned_upload_is_swept_and_one_under_way_is_not(mira: User, place: Place, bucket: Bucket) -> None:
    with time_machine.travel("2026-01-01T00:00Z", tick=False):
        send(artifacts.begin_upload(actor=mira, place=place, parts=1), b"1")

    with time_machine.travel("2026-01-02T23:59Z", tick=False):
        sweep.drop_abandoned_uploads()
        assert len(bucket.uploads()) == DirectUpload.objects.count() == 1

    with time_machine.travel("2026-01-03T00:01Z", tick=False):
        assert sweep.drop_abandoned_uploads() == 1
    assert bucket.uploads() == [] and not DirectUpload.objects.exists()


def test_an_upload_ends_within_a_day(mira: User, place: Place) -> None:
    with time_machine.travel("2026-01-01T00:00Z", tick=False):
        begun = artifacts.begin_upload(actor=mira, place=place, parts=1)

    with time_machine.travel("2026-01-02T00:01Z", tick=False), pytest.raises(NotFound, match="no such upload"):
        artifacts.finish_upload(actor=mira, place=place, upload_id=begun.upload.pk, parts=[Part(1, '"x"')])


def test_bytes_put_together_by_a_finish_that_broke_off_are_kept_until_the_upload_is_over(
    mira: User, place: Place, bucket: Bucket
) -> None:
    begun = artifacts.begin_upload(actor=mira, place=place, parts=1)
    direct = blobs().direct()
    assert direct is not None
    direct.complete(begun.upload.storage_key, begun.upload.store_id, send(begun, b"1"))
    started = begun.upload.started_at / 1000

    with time_machine.travel(started + 36 * 3600, tick=False):
        sweep.drop_abandoned_uploads()
        assert sweep.remove_orphans() == 0
    with time_machine.travel(started + 49 * 3600, tick=False):
        sweep.drop_abandoned_uploads()
        assert sweep.remove_orphans() == 1

    assert bucket.keys() == []
