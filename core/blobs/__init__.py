"""Bytes under names of our own: written and read as streams, on a local folder or in an S3-compatible store.

Both raise Unavailable when the store fails, StorageFull when it has no room, and FileNotFoundError for what is not
there. What a stream that is being written raises passes through.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, cast

from django.core.files.storage import storages

CHUNK = 1024 * 1024
FULL = "The file storage is full: nothing was stored. An administrator must make room."


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Blob:
    """``written_at``: seconds since the epoch. In S3 a blob written in parts counts from its first part."""

    key: str
    written_at: float


class Stream(Protocol):
    """Chunks of at most 1 MiB. Close it: a client that goes away leaves it unread."""

    def __iter__(self) -> Iterator[bytes]: ...
    def close(self) -> None: ...


class Blobs(Protocol):
    def write(self, key: str, stream: Readable) -> None:
        """All of the stream; a failure on the way leaves nothing to be read, and bytes to be removed at most."""

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> Stream:
        """``length`` bytes from ``start``, or what there is."""

    def remove(self, keys: Iterable[str]) -> None:
        """What is not there is fine."""

    def pages(self) -> Iterator[list[Blob]]:
        """Everything that is stored, some at a time."""

    def abort_unfinished(self, *, before: float, known: frozenset[str]) -> int:
        """Drop what was written of blobs that never became whole: begun before a time (seconds since the epoch), under
        keys that are not known. How many."""

    def direct(self) -> Direct | None:
        """Transfer between clients and the store without this server, where it is offered."""


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    etag: str


class Direct(Protocol):
    """Addresses that let whoever has them transfer bytes, for a time."""

    def begin(self, key: str) -> str:
        """Open an upload in parts; the store's name for it."""

    def part_urls(self, key: str, upload: str, *, count: int, seconds: int) -> list[str]: ...

    def complete(self, key: str, upload: str, parts: list[Part]) -> None:
        """Make a blob of the parts. Again is fine. Raises Invalid for parts that are not there, or too small."""

    def abort(self, key: str, upload: str) -> None:
        """Drop the parts, and the blob if they have become one. What is not there is fine."""

    def download_url(self, key: str, *, filename: str, seconds: int) -> str: ...


def blobs() -> Blobs:
    return cast(Blobs, storages["default"])
