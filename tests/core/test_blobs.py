"""Bytes in a folder and in an S3-compatible store: the same promises."""

from __future__ import annotations

import errno
import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.stub import Stubber

from core.blobs import CHUNK, Blob, Blobs, Part
from core.blobs.local import LocalBlobs
from core.blobs.s3 import PART_SIZE, S3Blobs
from core.errors import Invalid, StorageFull, TooLarge, Unavailable
from tests.buckets import NAME, Bucket, running_bucket
from tests.servers import free_port

KEY = "ab/" + "c" * 32


@pytest.fixture(scope="module")
def _bucket() -> Iterator[Bucket]:
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture
def bucket(_bucket: Bucket) -> Bucket:
    _bucket.empty()
    return _bucket


@pytest.fixture
def s3(bucket: Bucket) -> S3Blobs:
    return S3Blobs(**bucket.storage(direct_address="")["OPTIONS"])


@pytest.fixture(params=["local", "s3"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Blobs:
    return LocalBlobs(location=tmp_path) if request.param == "local" else request.getfixturevalue("s3")


class Trickle(io.RawIOBase):
    """Gives at most 64 KiB at a time, as a network does; fails after ``fails_after`` bytes."""

    def __init__(self, size: int, *, fails_after: int | None = None) -> None:
        self.left, self.given, self.fails_after = size, 0, fails_after

    def read(self, size: int = -1, /) -> bytes:
        if self.fails_after is not None and self.given >= self.fails_after:
            raise ConnectionResetError
        taken = min(size, self.left, 64 * 1024)
        self.left -= taken
        self.given += taken
        return b"x" * taken


def content_of(blobs: Blobs, **wanted: int) -> bytes:
    return b"".join(blobs.read(KEY, **wanted))


# -- Both --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PART_SIZE - 1, PART_SIZE, 2 * PART_SIZE + 5])
def test_what_was_written_is_read(blobs: Blobs, size: int) -> None:
    blobs.write(KEY, Trickle(size))

    chunks = list(blobs.read(KEY))

    assert b"".join(chunks) == b"x" * size
    assert max(map(len, chunks), default=0) <= CHUNK
    assert [blob.key for page in blobs.pages() for blob in page] == [KEY]


@pytest.mark.parametrize(
    ("start", "length", "part"), [(0, 3, b"012"), (4, 2, b"45"), (7, 3, b"789"), (0, 0, b""), (9, 1, b"9")]
)
def test_a_part_is_read_alone(blobs: Blobs, start: int, length: int, part: bytes) -> None:
    blobs.write(KEY, io.BytesIO(b"0123456789"))

    assert content_of(blobs, start=start, length=length) == part
    assert content_of(blobs, start=start) == b"0123456789"[start:]


def test_what_is_not_there_is_said_so_before_the_first_byte(blobs: Blobs) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.read(KEY)

    blobs.remove([KEY])


def test_removing_takes_what_is_named(blobs: Blobs) -> None:
    others = [f"{number:02}/x" for number in range(3)]
    for key in (KEY, *others):
        blobs.write(key, io.BytesIO(b"1"))

    blobs.remove([KEY, "absent", *others[:2]])

    assert [blob.key for page in blobs.pages() for blob in page] == others[2:]


def test_pages_say_when_something_was_written(blobs: Blobs) -> None:
    blobs.write(KEY, io.BytesIO(b"1"))

    (blob,) = [blob for page in blobs.pages() for blob in page]

    assert isinstance(blob, Blob) and abs(blob.written_at - time.time()) < 60


def test_the_fault_of_a_stream_passes_through(blobs: Blobs) -> None:
    with pytest.raises(ConnectionResetError):
        blobs.write(KEY, Trickle(3 * PART_SIZE, fails_after=2 * PART_SIZE))


def test_a_stream_that_is_not_read_is_closed(blobs: Blobs) -> None:
    blobs.write(KEY, io.BytesIO(b"1" * 3 * CHUNK))

    blobs.read(KEY).close()
    half = blobs.read(KEY)
    next(iter(half))
    half.close()


# -- A folder ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "error"), [(errno.ENOSPC, StorageFull), (errno.EDQUOT, StorageFull), (errno.EIO, Unavailable)]
)
def test_a_disk_that_fails_is_told_from_one_that_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[Exception]
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)

    with pytest.raises(error):
        LocalBlobs(location=tmp_path).write(KEY, io.BytesIO(b"1"))


def test_a_folder_that_is_no_folder_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    blobs = LocalBlobs(location=tmp_path / "file")

    for act in (lambda: blobs.write(KEY, io.BytesIO(b"1")), lambda: blobs.read(KEY)):
        with pytest.raises(Unavailable):
            act()


def test_a_folder_offers_nothing_direct(tmp_path: Path) -> None:
    assert LocalBlobs(location=tmp_path).direct() is None


# -- S3 ----------------------------------------------------------------------------------------------------------------


def test_a_broken_stream_leaves_no_parts(s3: S3Blobs, bucket: Bucket) -> None:
    with pytest.raises(ConnectionResetError):
        s3.write(KEY, Trickle(3 * PART_SIZE, fails_after=2 * PART_SIZE))

    assert bucket.uploads() == bucket.keys() == []


def test_a_store_that_is_not_there_is_unavailable(bucket: Bucket) -> None:
    nowhere = S3Blobs(**bucket.storage(endpoint_url=f"http://127.0.0.1:{free_port()}", direct_address="")["OPTIONS"])

    for act in (
        lambda: nowhere.write(KEY, io.BytesIO(b"1")),
        lambda: nowhere.read(KEY),
        lambda: nowhere.remove([KEY]),
        lambda: list(nowhere.pages()),
        lambda: nowhere.begin(KEY),
        lambda: nowhere.complete(KEY, "x", [Part(1, "x")]),
        lambda: nowhere.abort(KEY, "x"),
    ):
        with pytest.raises(Unavailable, match="does not answer now"):
            act()


def test_a_bucket_that_is_not_there_is_unavailable(bucket: Bucket) -> None:
    with pytest.raises(Unavailable):
        S3Blobs(**bucket.storage(bucket_name="other")["OPTIONS"]).write(KEY, io.BytesIO(b"1"))


def test_a_store_without_room_is_full(s3: S3Blobs) -> None:
    with Stubber(s3.client) as store:
        store.add_client_error("put_object", "XMinioStorageFull")

        with pytest.raises(StorageFull):
            s3.write(KEY, io.BytesIO(b"1"))


def test_a_file_of_too_many_parts_is_too_large(s3: S3Blobs, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.blobs.s3.MOST_PARTS", 1)

    with pytest.raises(TooLarge):
        s3.write(KEY, Trickle(PART_SIZE + 1))

    assert bucket.uploads() == bucket.keys() == []


def test_unfinished_uploads_are_aborted_by_age_and_unless_they_are_known(s3: S3Blobs, bucket: Bucket) -> None:
    upload, _ = s3.begin(KEY), s3.begin("ab/known")
    bucket.client.create_multipart_upload(Bucket=NAME, Key="not/ours")
    known = frozenset({"ab/known"})

    assert s3.abort_unfinished(before=0, known=known) == 0
    assert s3.abort_unfinished(before=time.time() + 60, known=known) == 1
    assert sorted(item["Key"] for item in bucket.uploads()) == ["files/ab/known", "not/ours"]
    s3.abort(KEY, upload)


def test_only_a_store_that_clients_reach_is_direct(bucket: Bucket) -> None:
    assert S3Blobs(**bucket.storage()["OPTIONS"]).direct() is None

    elsewhere = S3Blobs(**bucket.storage(direct_address="https://files.example.com")["OPTIONS"]).direct()

    assert elsewhere is not None
    assert elsewhere.part_urls(KEY, "u", count=1, seconds=60)[0].startswith(f"https://files.example.com/{NAME}/files/")
    assert elsewhere.download_url(KEY, filename="ä.html", seconds=60).startswith("https://files.example.com/")


def test_completing_twice_is_fine_and_wrong_parts_are_not(s3: S3Blobs, bucket: Bucket) -> None:
    upload = s3.begin(KEY)
    at = s3.at(KEY)
    etag = s3.client.upload_part(UploadId=upload, PartNumber=1, Body=b"1", **at)["ETag"]

    for parts in ([Part(1, '"0"')], [Part(2, etag)]):
        with pytest.raises(Invalid, match="not the parts"):
            s3.complete(KEY, upload, parts)
    s3.complete(KEY, upload, [Part(1, etag)])
    s3.complete(KEY, upload, [Part(1, etag)])

    assert bucket.contents() == [b"1"]


def test_completing_what_was_aborted_finds_nothing(s3: S3Blobs) -> None:
    with Stubber(s3.client) as store:  # the one of these tests answers 500
        store.add_client_error("complete_multipart_upload", "NoSuchUpload")
        store.add_client_error("head_object", "404")

        with pytest.raises(FileNotFoundError):
            s3.complete(KEY, "aborted", [Part(1, '"0"')])
