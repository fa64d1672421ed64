"""What lies in a file: the members of a zip archive, what a compressed stream unpacks to, the header of an array.

Nothing is unpacked to where it says: bytes go to an unnamed temporary file, as many as the limits allow.
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

MOST_UNPACKED = 1024**3  # bytes, of all that one file holds together
MOST_RATIO = 500  # times as large as packed; asked once more than so much is unpacked:
RATIO_COUNTS_FROM = 64 * 1024**2
MOST_MEMBERS = 10_000
MOST_DIRECTORY = 4 * 1024**2  # bytes of an archive's list of members
CHUNK = 256 * 1024
_IN_MEMORY = 8 * 1024**2  # what a temporary file holds before it is on a disk

ZIP = (b"PK\x03\x04", b"PK\x05\x06")
NPY = b"\x93NUMPY"
# Compressions that loaders of models know and Python's library does not.
FOREIGN = {b"\x04\x22\x4d\x18": "lz4", b"\x28\xb5\x2f\xfd": "zstd", b"ZF0x": "an old form of joblib's"}


class Packed(Exception):
    """Why something packed cannot be looked into, as a clause about "it". ``part``: what was unpacked until then."""

    def __init__(self, why: str, part: BinaryIO | None = None) -> None:
        super().__init__(why)
        self.part = part


@dataclass(slots=True)
class Room:
    """What the unpacking of one file may still take."""

    unpacked: int = MOST_UNPACKED
    members: int = MOST_MEMBERS

    def take(self, number: int) -> None:
        self.unpacked -= number
        if self.unpacked < 0:
            raise Packed(f"it unpacks to more than {MOST_UNPACKED // 1024**2:,} MiB")


# -- Compressed streams ------------------------------------------------------------------------------------------------


def decompressor_of(head: bytes) -> Callable[[], Any] | None:
    """What reads a stream that begins with these bytes."""
    if head.startswith(b"\x1f\x8b"):
        return lambda: zlib.decompressobj(zlib.MAX_WBITS | 16)
    if head.startswith(b"BZh"):
        return bz2.BZ2Decompressor
    if head.startswith(b"\xfd7zXZ\x00"):
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=256 * 1024**2)
    if head.startswith(b"\x5d\x00\x00"):
        return lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=256 * 1024**2)
    if len(head) > 1 and head[0] & 0x0F == 8 and head[0] >> 4 <= 7 and int.from_bytes(head[:2]) % 31 == 0:
        return zlib.decompressobj
    return None


def decompress(file: BinaryIO, decompressor: Callable[[], Any], room: Room) -> BinaryIO | None:
    """All that the stream unpacks to; None where it does not begin as such a stream. Several in a row are one."""
    out = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (whoever asked closes it)
    file.seek(0)
    active, read, written = decompressor(), 0, 0
    waiting = b""
    try:
        while True:
            if not waiting and getattr(active, "needs_input", True):
                waiting = file.read(CHUNK)
                if not waiting:
                    raise Packed("it breaks off")
                read += len(waiting)
            data = active.decompress(waiting, CHUNK)
            waiting = getattr(active, "unconsumed_tail", b"")
            room.take(len(data))
            written += len(data)
            if written > RATIO_COUNTS_FROM and written > MOST_RATIO * read:
                raise Packed(f"it unpacks to more than {MOST_RATIO} times its size")
            out.write(data)
            if active.eof:
                waiting = active.unused_data or file.read(CHUNK)
                if not waiting:
                    return cast(BinaryIO, out)
                if decompressor_of(waiting) is None:
                    raise Packed("it has more bytes behind what is compressed")
                active = decompressor()
    except (zlib.error, lzma.LZMAError, EOFError, ValueError, OSError) as error:
        if not written:
            out.close()
            return None
        raise Packed("its compressed bytes are damaged", cast(BinaryIO, out)) from error
    except Packed as error:
        error.part = cast(BinaryIO, out)
        raise


# -- Archives ----------------------------------------------------------------------------------------------------------


class Slice(io.RawIOBase):
    """A part of a file as a file; wrap it in a BufferedReader."""

    def __init__(self, file: BinaryIO, start: int, length: int) -> None:
        self._file, self._start, self._length, self._at = file, start, length, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: Any) -> int:
        number = min(len(buffer), max(0, self._length - self._at))
        self._file.seek(self._start + self._at)
        data = self._file.read(number)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)


class _Guarded:
    """zipfile reads a whole directory at once, as large as it says it is: no larger than this."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell

    def seekable(self) -> bool:
        return True

    def read(self, number: int = -1) -> bytes:
        if number > MOST_DIRECTORY:
            raise Packed(f"its list of members is longer than {MOST_DIRECTORY // 1024**2} MiB")
        return self._file.read(number)


@dataclass(frozen=True, slots=True)
class Member:
    name: str
    open: Callable[[], BinaryIO]


_DAMAGED = (
    zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, IndexError,
    KeyError, OverflowError, UnicodeError, struct.error, zlib.error, lzma.LZMAError,
)  # fmt: skip


_DESCRIPTOR = 24  # bytes that may follow a member
_BETWEEN = "it holds bytes that belong to none of its members"


def is_zip(file: BinaryIO, head: bytes) -> bool:
    return head.startswith(ZIP) or zipfile.is_zipfile(cast(Any, file))


def members_of(file: BinaryIO, room: Room) -> tuple[list[Member], list[str]]:
    """The members of a zip archive, as its directory has them, and what is odd about it. Raises Packed."""
    try:
        archive = zipfile.ZipFile(cast(Any, _Guarded(file)))
    except _DAMAGED as error:
        raise Packed("it is a zip archive that cannot be read") from error
    entries = sorted(archive.infolist(), key=lambda entry: entry.header_offset)
    room.members -= len(entries)
    if room.members < 0:
        raise Packed(f"it has more than {MOST_MEMBERS:,} members")
    members: list[Member] = []
    odd: dict[str, None] = {}
    names: set[str] = set()
    end = 0
    for entry in entries:
        if entry.filename in names:
            odd[f"two of its members are called {shown(entry.filename)}"] = None
        names.add(entry.filename)
        try:
            start = _data_start(file, entry)
        except _DAMAGED:
            odd[f"its member {shown(entry.filename)} cannot be read"] = None
            continue
        if not 0 <= entry.header_offset - end <= (_DESCRIPTOR if end else 0):
            odd[_BETWEEN] = None
        end = start + entry.compress_size
        members.append(Member(entry.filename, _opener(file, archive, entry, start, room)))
    if not 0 <= archive.start_dir - end <= _DESCRIPTOR:
        odd[_BETWEEN] = None
    if archive.comment:
        odd["it ends with a comment, where anything may lie"] = None
    return members, list(odd)


def _data_start(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    file.seek(entry.header_offset)
    header = file.read(30)
    if len(header) < 30 or not header.startswith(ZIP[0]):
        raise ValueError
    name, extra = struct.unpack("<HH", header[26:30])
    return entry.header_offset + 30 + int(name) + int(extra)


def _opener(
    file: BinaryIO, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, start: int, room: Room
) -> Callable[[], BinaryIO]:
    def opened() -> BinaryIO:
        if entry.flag_bits & 0x1:
            raise Packed("it is encrypted")
        if entry.compress_type == zipfile.ZIP_STORED:
            if entry.file_size != entry.compress_size:
                raise Packed("its length is not what the archive says")
            return cast(BinaryIO, io.BufferedReader(Slice(file, start, entry.file_size)))
        out = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (whoever asked closes it)
        written = 0
        try:
            with archive.open(entry) as member:
                while data := member.read(CHUNK):
                    room.take(len(data))
                    written += len(data)
                    if written > RATIO_COUNTS_FROM and written > MOST_RATIO * entry.compress_size:
                        raise Packed(f"it unpacks to more than {MOST_RATIO} times its size")
                    out.write(data)
        except _DAMAGED as error:
            raise Packed("it cannot be unpacked", cast(BinaryIO, out)) from error
        except Packed as error:
            error.part = cast(BinaryIO, out)
            raise
        return cast(BinaryIO, out)

    return opened


# -- Arrays of numpy ---------------------------------------------------------------------------------------------------

_SCALAR = r"'[<>|=](?P<kind{0}>[?biufcmMSUVO])(?P<size{0}>\d{{0,9}})(?:\[[^']{{1,20}}\])?'"
_FIELD = r"\('[^'\\]{0,200}', '[<>|=][?biufcmMSUV]\d{1,9}(?:\[[^']{1,20}\])?'(?:, \([\d, ]{1,100}\))?\)"
_HEADER = re.compile(
    rf"\{{'descr': (?:{_SCALAR.format('')}|\[(?:{_FIELD}(?:, )?)+\]), 'fortran_order': (?:True|False), "
    r"'shape': \((?P<shape>[\d, ]*)\), \} *\n"
)
LONGEST_HEADER = 64 * 1024


@dataclass(frozen=True, slots=True)
class ArrayHeader:
    """``end``: where its bytes begin; ``length``: how many they are, None where its type has fields."""

    end: int
    holds_objects: bool
    length: int | None


def array_header(file: BinaryIO) -> ArrayHeader:
    """Raises Packed for a header that numpy does not write: it could say anything."""
    file.seek(len(NPY))
    version = file.read(2)
    width = {1: 2, 2: 4, 3: 4}.get(version[0] if version else 0, 0)
    length = int.from_bytes(file.read(width), "little")
    text = file.read(min(length, LONGEST_HEADER))
    found = _HEADER.fullmatch(text.decode("latin-1")) if width and len(text) == length else None
    if found is None:
        raise Packed("it is an array of numpy whose header numpy does not write")
    end = len(NPY) + 2 + width + length
    if found["kind"] == "O":
        return ArrayHeader(end, holds_objects=True, length=None)
    if found["kind"] is None:
        return ArrayHeader(end, holds_objects=False, length=None)
    count = math.prod(int(number) for number in found["shape"].split(",") if number.strip())
    each = int(found["size"] or 0) * (4 if found["kind"] == "U" else 1)
    return ArrayHeader(end, holds_objects=False, length=count * each)


def shown(name: str) -> str:
    """A name that somebody else chose, in one line of plain signs."""
    plain = ascii(name)[1:-1]
    return plain if len(plain) <= 100 else f"{plain[:97]}..."
