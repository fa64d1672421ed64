"""Blobs in a local folder."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from django.core.files.storage import FileSystemStorage

from core.blobs import CHUNK, FULL, Blob, Readable
from core.errors import StorageFull, Unavailable

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def _faults() -> Iterator[None]:
    """The system's errors as ours; FileNotFoundError passes."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(FULL) from error
        raise Unavailable("The file storage cannot be used now: nothing was changed. Try again later.") from error


class LocalBlobs(FileSystemStorage):
    def write(self, key: str, stream: Readable) -> None:
        with _faults():
            path = Path(self.path(key))
            path.parent.mkdir(parents=True, exist_ok=True)
            out = path.open("wb")
        try:
            while chunk := stream.read(CHUNK):
                with _faults():
                    out.write(chunk)
            with _faults():
                out.flush()
                os.fsync(out.fileno())  # a row that outlives a power failure must find its bytes
        finally:
            with _faults():
                out.close()

    def read(self, key: str, *, start: int = 0, length: int | None = None) -> LocalStream:
        with _faults():
            file = Path(self.path(key)).open("rb")  # noqa: SIM115 - the stream closes it
            file.seek(start)
        return LocalStream(file, length)

    def remove(self, keys: Iterable[str]) -> None:
        with _faults():
            for key in keys:
                Path(self.path(key)).unlink(missing_ok=True)

    def pages(self) -> Iterator[list[Blob]]:
        """A page is a folder."""
        for folder, _, names in os.walk(self.location):
            page = []
            for name in names:
                path = Path(folder, name)
                try:
                    written_at = path.stat().st_mtime
                except FileNotFoundError:  # removed meanwhile
                    continue
                page.append(Blob(path.relative_to(self.location).as_posix(), written_at))
            if page:
                yield page

    def abort_unfinished(self, *, before: float, known: frozenset[str]) -> int:
        """Here a blob that is not whole is among the others."""
        return 0

    def direct(self) -> None:
        """A folder has no addresses."""


class LocalStream:
    def __init__(self, file: IO[bytes], length: int | None) -> None:
        self._file = file
        self._left = length

    def __iter__(self) -> Iterator[bytes]:
        with self._file, _faults():
            while chunk := self._file.read(CHUNK if self._left is None else min(CHUNK, self._left)):
                if self._left is not None:
                    self._left -= len(chunk)
                yield chunk

    def close(self) -> None:
        self._file.close()
