"""Blobs in an S3-compatible store. All threads share one client, and no object is ever held whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import quote

import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from storages.backends.s3 import S3Storage

from core.blobs import CHUNK, FULL, Blob, Part, Readable
from core.errors import Invalid, StorageFull, TooLarge, Unavailable

log = structlog.get_logger(__name__)

PART_SIZE = 8 * 1024 * 1024  # what one upload holds in memory; S3 takes no less than 5 MiB
MOST_PARTS = 10_000
DELETE_AT_ONCE = 1000
_NO_ROOM = frozenset({"507", "EntityTooLarge", "InsufficientCapacity", "QuotaExceeded", "XMinioStorageFull"})
_ABSENT = frozenset({"404", "NoSuchKey"})
_WRONG_PARTS = frozenset({"EntityTooSmall", "InvalidPart", "InvalidPartOrder", "InvalidRequest", "MalformedXML"})


@contextmanager
def _faults() -> Iterator[None]:
    """The store's errors as ours; what it says goes to the log alone."""
    try:
        yield
    except ClientError as error:
        code = _code(error)
        if code in _ABSENT:
            raise FileNotFoundError(code) from error
        log.error("storage_refused", code=code, operation=error.operation_name)
        if code in _NO_ROOM:
            raise StorageFull(FULL) from error
        raise _unavailable() from error
    except BotoCoreError as error:
        log.error("storage_unreachable", error=type(error).__name__)
        raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable("The file storage does not answer now: nothing was changed. Try again later.")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


class S3Blobs(S3Storage):
    """``direct_address``: where clients reach the store themselves; none, and they are not sent there."""

    def __init__(self, *, direct_address: str | None = None, **settings: Any) -> None:
        super().__init__(**settings)
        self.direct_address = direct_address
        # A store that hangs must not hold a thread for minutes; and not every store knows Amazon's newer checksums.
        patience = Config(
            connect_timeout=3,
            read_timeout=30,
            retries={"total_max_attempts": 2, "mode": "standard"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            signature_version="s3v4",
        )
        self.client_config: Config = self.client_config.merge(patience)

    @cached_property
    def client(self) -> Any:
        return self.client_at(self.endpoint_url)

    def client_at(self, address: str | None) -> Any:
        return self._create_session().client(
            "s3", region_name=self.region_name, endpoint_url=address, config=self.client_config
        )

    def at(self, key: str) -> dict[str, str]:
        """A key of ours as the store knows it."""
        return {"Bucket": self.bucket_name, "Key": f"{self.location}/{key}" if self.location else key}

    def write(self, key: str, stream: Readable) -> None:
        """In parts, unless it fits into one."""
        content = _filled(stream)
        if len(content) < PART_SIZE:
            with _faults():
                self.client.put_object(Body=content, **self.at(key))
            return
        upload = self.begin(key)
        parts: list[Part] = []
        try:
            while content:
                if len(parts) == MOST_PARTS:
                    raise TooLarge(f"A file has at most {MOST_PARTS * PART_SIZE // 2**30} GiB here.")
                with _faults():
                    number = len(parts) + 1
                    answer = self.client.upload_part(UploadId=upload, PartNumber=number, Body=content, **self.at(key))
                parts.append(Part(number, answer["ETag"]))
                content.clear()  # before the next part is read: one of them is enough
                content = _filled(stream)
            self.complete(key, upload, parts)
        except BaseException:
            self._abort_quietly(key, upload)
            raise

    def _abort_quietly(self, key: str, upload: str) -> None:
        """What failed is told, not that its parts could not be removed: the sweep does that."""
        try:
            self.abort(key, upload)
        except Unavailable:
            log.warning("upload_not_aborted", key=key)

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> S3Stream:
        wanted = {} if not start and length is None else {"Range": f"bytes={start}-{_last(start, length)}"}
        if length == 0:
            wanted = {}  # no range is empty: ask for all of it and read nothing
        with _faults():
            return S3Stream(self.client.get_object(**self.at(key), **wanted)["Body"], length)

    def remove(self, keys: Iterable[str]) -> None:
        names = [{"Key": self.at(key)["Key"]} for key in keys]
        for start in range(0, len(names), DELETE_AT_ONCE):
            with _faults():
                self.client.delete_objects(
                    Bucket=self.bucket_name, Delete={"Objects": names[start : start + DELETE_AT_ONCE], "Quiet": True}
                )

    def pages(self) -> Iterator[list[Blob]]:
        prefix = self.at("")["Key"]
        with _faults():
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket_name, Prefix=prefix):
                found = page.get("Contents", [])
                yield [Blob(item["Key"].removeprefix(prefix), item["LastModified"].timestamp()) for item in found]

    def abort_unfinished(self, *, before: float, known: frozenset[str]) -> int:
        prefix, aborted = self.at("")["Key"], 0
        with _faults():
            pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket_name, Prefix=prefix)
            for page in pages:
                for item in page.get("Uploads", []):
                    key = item["Key"].removeprefix(prefix)
                    if item["Initiated"].timestamp() < before and key not in known:
                        self._drop_parts(key, item["UploadId"])
                        aborted += 1
        return aborted

    # -- Without this server in between --------------------------------------------------------------------------------

    def direct(self) -> S3Blobs | None:
        return self if self.direct_address is not None else None

    @cached_property
    def _signer(self) -> Any:
        """Signing asks nobody; the address is part of what is signed."""
        return self.client_at(self.direct_address or self.endpoint_url)

    def begin(self, key: str) -> str:
        with _faults():
            answer = self.client.create_multipart_upload(ContentType="application/octet-stream", **self.at(key))
        return str(answer["UploadId"])

    def part_urls(self, key: str, upload: str, *, count: int, seconds: int) -> list[str]:
        return [
            self._signer.generate_presigned_url(
                "upload_part", {**self.at(key), "UploadId": upload, "PartNumber": number}, ExpiresIn=seconds
            )
            for number in range(1, count + 1)
        ]

    def complete(self, key: str, upload: str, parts: list[Part]) -> None:
        described = {"Parts": [{"PartNumber": part.number, "ETag": part.etag} for part in parts]}
        try:
            self.client.complete_multipart_upload(UploadId=upload, MultipartUpload=described, **self.at(key))
        except ClientError as error:
            if _code(error) in _WRONG_PARTS:
                raise Invalid(
                    "These are not the parts that arrived: each but the last needs 5 MiB and its own ETag, and they "
                    "are listed by number.",
                    field="parts",
                ) from error
            with _faults():
                if _code(error) != "NoSuchUpload":
                    raise
                self.client.head_object(**self.at(key))  # an earlier call has completed it, if it is there
        except BotoCoreError:
            with _faults():
                raise

    def abort(self, key: str, upload: str) -> None:
        self._drop_parts(key, upload)
        self.remove([key])

    def _drop_parts(self, key: str, upload: str) -> None:
        with _faults():
            try:
                self.client.abort_multipart_upload(UploadId=upload, **self.at(key))
            except ClientError as error:
                if _code(error) not in ("NoSuchUpload", *_ABSENT):
                    raise

    def download_url(self, key: str, *, filename: str, seconds: int) -> str:
        """As an attachment of bytes: the store would send whatever type it was given."""
        shown = {
            "ResponseContentDisposition": f"attachment; filename*=UTF-8''{quote(filename, safe='')}",
            "ResponseContentType": "application/octet-stream",
        }
        url = self._signer.generate_presigned_url("get_object", {**self.at(key), **shown}, ExpiresIn=seconds)
        return str(url)


def _last(start: int, length: int | None) -> str:
    return "" if length is None else str(start + length - 1)


def _filled(stream: Readable) -> bytearray:
    """A whole part, or what is left: a network stream gives less at a time than it is asked for."""
    content = bytearray()
    while len(content) < PART_SIZE and (chunk := stream.read(min(CHUNK, PART_SIZE - len(content)))):
        content += chunk
    return content


class S3Stream:
    """``length``: how many bytes to give at most."""

    def __init__(self, body: Any, length: int | None) -> None:
        self._body = body
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        try:
            while chunk := self._next():
                yield chunk
        finally:
            self.close()

    def _next(self) -> bytes:
        if self._left == 0:
            return b""
        with _faults():
            chunk: bytes = self._body.read(CHUNK if self._left is None else min(CHUNK, self._left))
        if self._left is not None:
            self._left -= len(chunk)
        return chunk

    def close(self) -> None:
        self._body.close()
