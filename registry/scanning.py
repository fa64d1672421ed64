"""What a static reading of its files says of a version. Files are read by content, each once, outside any transaction.

Nothing here is loaded or run: ``core.pickles`` reads opcodes. Files that lie elsewhere are not read at all.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

import structlog
from django.core.cache import cache
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Func, OuterRef
from django.db.models.sql.compiler import SQLCompiler

from core import pickles
from core.blobs import CHUNK, Stream, blobs
from core.clock import now
from core.listing import ListOf
from registry.evidence import known_of
from registry.models import ArtifactFile, FileScan, ModelVersion

log = structlog.get_logger(__name__)

Verdict = FileScan.Verdict
# The worst decides.
_WORST_FIRST = (Verdict.UNSAFE, Verdict.UNREAD, Verdict.CLEAN, Verdict.PLAIN)
_AT_ONCE = 5000  # SQLite takes 32,766 parameters in a statement
_SWEPT_AT_ONCE = 200  # versions
_SWEPT_ANEW = 24 * 3600  # seconds after which the sweep begins with the oldest version again


@dataclass(frozen=True, slots=True)
class ScannedFile:
    """``verdict`` is empty until the file has been read."""

    path: str
    sha256: str
    verdict: str
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scan:
    """What the files of one version are, by path."""

    files: tuple[ScannedFile, ...]

    @property
    def pending(self) -> int:
        return sum(not file.verdict for file in self.files)

    @property
    def verdict(self) -> str:
        """The worst of those that have been read; empty while none has."""
        found = {file.verdict for file in self.files}
        return next((verdict for verdict in _WORST_FIRST if verdict in found), "")

    def findings(self, *verdicts: str) -> tuple[tuple[str, str], ...]:
        """(path, sentence) for each finding in files of these verdicts."""
        concerned = (file for file in self.files if file.verdict in verdicts)
        return tuple((file.path, sentence) for file in concerned for sentence in file.findings)


def scan_of(version: ModelVersion) -> Scan | None:
    """None where the files do not lie here."""
    return scans_of([version]).get(version.pk)


def scans_of(versions: Sequence[ModelVersion]) -> dict[int, Scan]:
    """By version, what its evidence names as its files and what is known of their content; in one statement, or none
    where that came along with them."""
    files = {version.pk: known_of(version)["files"] for version in versions if version.digest}
    known = _along(versions)
    unread = (version.pk for version in versions if version.scans is None)
    known |= _known({sha256 for pk in unread for _, _, sha256 in files.get(pk, ())})
    found = {}
    for pk, listed in files.items():
        if listed:
            found[pk] = Scan(tuple(_scanned(path, sha256, known.get(sha256)) for path, _, sha256 in listed))
    return found


class _FilesOf(Func):
    """The SHA-256 of each file that evidence names."""

    template = "(SELECT named.file ->> 2 FROM JSONB_ARRAY_ELEMENTS(%(expressions)s -> 'files') AS named(file))"

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> tuple[str, Any]:
        template = "(SELECT JSON_EXTRACT(named.value, '$[2]') FROM JSON_EACH(%(expressions)s, '$.files') AS named)"
        return self.as_sql(compiler, connection, template=template)


def scans_along(evidence: str) -> ListOf:
    """For a query of versions, as their ``scans``: what is known of the files in the evidence of this field."""
    read = FileScan.objects.filter(sha256__in=_FilesOf(OuterRef(evidence)), reader__gte=pickles.READER)
    return ListOf(read, "sha256", "verdict", "findings")


def _along(versions: Sequence[ModelVersion]) -> dict[str, FileScan]:
    rows = [row for version in versions for row in version.scans or ()]
    return {sha256: FileScan(sha256=sha256, verdict=verdict, findings=found) for sha256, verdict, found in rows}


def _scanned(path: str, sha256: str, row: FileScan | None) -> ScannedFile:
    return ScannedFile(path, sha256, row.verdict if row else "", tuple(row.findings) if row else ())


def _known(digests: Iterable[str]) -> dict[str, FileScan]:
    """What the present reading found, by SHA-256; what an older one found is to be read again."""
    wanted = sorted(digests)
    rows: dict[str, FileScan] = {}
    for start in range(0, len(wanted), _AT_ONCE):
        some = FileScan.objects.filter(sha256__in=wanted[start : start + _AT_ONCE], reader__gte=pickles.READER)
        rows |= {row.sha256: row for row in some}
    return rows


# -- Reading -----------------------------------------------------------------------------------------------------------


def read_files(version: ModelVersion) -> int:
    """Read what nobody has read yet of a version's files; how many. Raises Unavailable for a store that fails."""
    wanted = {row[2] for row in known_of(version)["files"]} if version.digest else set()
    wanted -= _known(wanted).keys()
    if not wanted:
        return 0
    read: set[str] = set()
    for file in ArtifactFile.objects.filter(owner_id=version.artifact_owner).order_by("pk").iterator():
        if file.sha256 in wanted and file.sha256 not in read and _read(file):
            read.add(file.sha256)
    return len(read)


def _read(file: ArtifactFile) -> bool:
    try:
        with closing(_Stored(file)) as stored:
            found = pickles.read(cast(BinaryIO, io.BufferedReader(stored, CHUNK)))
    except FileNotFoundError:
        log.warning("file_not_scanned", file=str(file), reason="its bytes are not in the storage")
        return False
    fields = {"verdict": str(found.verdict), "findings": list(found.findings), "reader": pickles.READER}
    FileScan.objects.update_or_create(sha256=file.sha256, defaults={**fields, "scanned_at": now()})
    if found.verdict == Verdict.UNSAFE:
        log.warning("file_unsafe", file=str(file), sha256=file.sha256, findings=found.findings)
    return True


class _Stored(io.RawIOBase):
    """A stored file that can seek; read one after the other its bytes come as one stream from the store."""

    def __init__(self, file: ArtifactFile) -> None:
        self._file, self._at = file, 0
        self._stream: Stream | None = None
        self._chunks: Any = iter(())
        self._left = b""
        self._left_at = 0  # where the stream stands

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._file.size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        if self._at >= self._file.size:
            return 0
        if self._stream is None or self._left_at != self._at:
            self._end()
            self._stream = blobs().read(self._file.storage_key, start=self._at)
            self._chunks, self._left, self._left_at = iter(self._stream), b"", self._at
        if not self._left:
            self._left = next(self._chunks, b"")
        data, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(data)] = data
        self._at = self._left_at = self._at + len(data)
        return len(data)

    def _end(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        self._end()
        super().close()


# -- What was missed ---------------------------------------------------------------------------------------------------


def next_missed() -> list[ModelVersion]:
    """The next versions that the sweep has not been over, the oldest first; none once it is through.

    Where it stands is kept in the cache: lost, or a day later, or with a newer reading, it begins anew.
    """
    after: int = cache.get(_place(), 0)
    rows = ModelVersion.objects.live().filter(pk__gt=after).exclude(digest="")
    return list(rows.select_related("evidence").order_by("pk")[:_SWEPT_AT_ONCE])


def note_swept(versions: Sequence[ModelVersion]) -> None:
    cache.set(_place(), versions[-1].pk, timeout=_SWEPT_ANEW)


def _place() -> str:
    return f"scanned-up-to:{pickles.READER}"
