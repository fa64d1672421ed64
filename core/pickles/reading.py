"""The verdict on a file: where in it pickles lie, and what they import."""

from __future__ import annotations

import enum
import io
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import BinaryIO

from core.pickles.imports import BEGINNINGS, Judged, judge
from core.pickles.limits import TooMuch, Unread, Work
from core.pickles.opcodes import Walk, Walker
from core.pickles.unpacking import (
    FOREIGN,
    NPY,
    Packed,
    Room,
    array_header,
    decompress,
    decompressor_of,
    is_zip,
    members_of,
    shown,
)
from core.pickles.values import Import

READER = 1  # a reading that may find something else has the next number
MOST_DEPTH = 4  # of what is packed in what is packed
MOST_FINDINGS = 20
_WINDOW = 1024 * 1024  # that is searched for beginnings at once
_AHEAD = 16 * 1024  # beyond it: most that looks like a pickle ends within so much
_ANOTHER_PLACE = 200  # opcodes that it costs to go there: a store may begin a new stream for it


class Verdict(enum.StrEnum):
    PLAIN = "plain"  # holds no pickle
    CLEAN = "clean"  # every pickle was read to its end, and imports only what is known
    UNREAD = "unread"  # a person must look: not read to its end, or it imports what nobody knows here
    UNSAFE = "unsafe"  # imports what may run anything


_RANK = list(Verdict)


@dataclass(frozen=True, slots=True)
class Reading:
    """``findings``: what is unsafe, or why it could not be read, as sentences."""

    verdict: Verdict
    findings: tuple[str, ...] = ()


def read(file: BinaryIO) -> Reading:
    """Read a file that can seek; nothing in it is loaded, imported or run."""
    reader = _Reader()
    reader.look_into(file, where="", depth=0)
    return Reading(reader.verdict, tuple(reader.findings))


@dataclass(slots=True)
class _Reader:
    verdict: Verdict = Verdict.PLAIN
    findings: dict[str, None] = field(default_factory=dict)
    work: Work = field(default_factory=Work)
    room: Room = field(default_factory=Room)

    def _found(self, verdict: Verdict, where: str = "", sentence: str = "") -> None:
        self.verdict = max(self.verdict, verdict, key=_RANK.index)
        if sentence and len(self.findings) < MOST_FINDINGS:
            text = f"{where}: {sentence}" if where else f"{sentence[0].upper()}{sentence[1:]}"
            self.findings[f"{text.rstrip('.')}."] = None

    def look_into(self, file: BinaryIO, *, where: str, depth: int) -> None:
        """``where``: the names of the members that lead there."""
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head = file.read(16)
        foreign = next((name for magic, name in FOREIGN.items() if head.startswith(magic)), None)
        try:
            if depth > MOST_DEPTH:
                raise Packed(f"it is packed more than {MOST_DEPTH} times")
            if foreign:
                raise Packed(f"it is compressed by {foreign}, which is not read here")
            if is_zip(file, head):
                self._archive(file, where=where, depth=depth)
                is_done = head.startswith(b"PK")
            elif head.startswith(NPY):
                self._array(file, size, where=where)
                is_done = True
            else:
                # BZh may be the beginning of a pickle as well.
                is_done = self._compressed(file, head, where=where, depth=depth) and not head.startswith(b"BZh")
            if not is_done and not self._stream(file, 0, size, where=where, is_certain=False):
                self._sweep(file, 0, size, where=where)
        except TooMuch as error:
            self._found(Verdict.UNREAD, where, str(error))
        except Packed as error:
            self._give_up(error, where=where, depth=depth)
            with suppress(TooMuch):
                self._sweep(file, 0, size, where=where)

    def _give_up(self, error: Packed, *, where: str, depth: int) -> None:
        """What was unpacked until then is looked into all the same: loaders run it before they notice."""
        self._found(Verdict.UNREAD, where, str(error))
        if error.part is not None:
            with closing(error.part):
                self.look_into(error.part, where=where, depth=depth + 1)

    # -- What is packed ------------------------------------------------------------------------------------------------

    def _archive(self, file: BinaryIO, *, where: str, depth: int) -> None:
        members, odd = members_of(file, self.room)
        for member in members:
            inside = f"{where}/{shown(member.name)}" if where else shown(member.name)
            try:
                with closing(member.open()) as opened:
                    self.look_into(opened, where=inside, depth=depth + 1)
            except Packed as error:
                self._give_up(error, where=inside, depth=depth)
        if odd:
            raise Packed("; ".join(odd))

    def _compressed(self, file: BinaryIO, head: bytes, *, where: str, depth: int) -> bool:
        decompressor = decompressor_of(head)
        if decompressor is None or (unpacked := decompress(file, decompressor, self.room)) is None:
            return False
        with closing(unpacked):
            self.look_into(unpacked, where=where, depth=depth + 1)
        return True

    def _array(self, file: BinaryIO, size: int, *, where: str) -> None:
        header = array_header(file)
        if header.holds_objects:
            self._stream(file, header.end, size, where=where)
            return
        if header.length not in (None, size - header.end):
            self._found(Verdict.UNREAD, where, "it is an array of numpy with another length than it says")
        self._sweep(file, header.end, size, where=where)

    # -- Pickles -------------------------------------------------------------------------------------------------------

    def _stream(self, file: BinaryIO, start: int, size: int, *, where: str, is_certain: bool = True) -> bool:
        """One pickle after the other from ``start`` on; whether they are any. Text may look like one by chance, so
        without its first opcode saying so it is one that imports something, or one that ends where the bytes end."""
        file.seek(start)
        says_so = file.read(2)[:1] == b"\x80" or is_certain
        at, trouble, acts = start, "", False
        found, last = Walk(), Walk()
        while at < size and not trouble:
            file.seek(at)
            walker = Walker(file, size, self.work)
            try:
                walker.run()
                at = file.tell()
            except TooMuch as error:
                if not says_so and not acts:
                    raise
                trouble = str(error)
            except Unread as error:
                trouble = str(error)
            last = walker.walk
            acts = acts or _acts(last)
            try:
                found.add(last)
            except TooMuch as error:
                trouble = str(error)
        if not says_so and not acts and (trouble or at == start):
            return False
        self._found(Verdict.CLEAN)
        self._judge(found, where=where)
        if trouble and at > start and not _acts(last):
            trouble = f"{size - at:,} bytes follow the end of its pickle and are none"
        if trouble:
            self._found(Verdict.UNREAD, where, trouble)
            self._sweep(file, at, size, where=where)
        return True

    def _judge(self, walk: Walk, *, where: str) -> None:
        for imported in walk.imports:
            self._judge_import(imported, where=where)
        for why in walk.unclear:
            self._found(Verdict.UNREAD, where, why)

    def _judge_import(self, imported: Import, *, where: str) -> None:
        name = shown(str(imported))
        match judge(imported.module, imported.name):
            case Judged.DANGEROUS:
                self._found(Verdict.UNSAFE, where, f"it imports {name}, which may run anything")
            case Judged.CODE:
                self._found(Verdict.UNREAD, where, f"it holds code of its own ({name})")
            case Judged.UNKNOWN:
                self._found(Verdict.UNREAD, where, f"it imports {name}, which is not known here")

    def _sweep(self, file: BinaryIO, start: int, size: int, *, where: str) -> None:
        """Pickles in the middle of other bytes: one that says that it is one and ends, and imports something; or any
        that imports something dangerous and calls anything."""
        done = start
        for at, window in _beginnings(file, start, size):
            if at < done:
                continue
            walker, end = self._walk_at(file, at, size, window)
            walk = walker.walk
            if end and walk.imports:
                self._found(Verdict.CLEAN)
                self._judge(walk, where=f"{where}, from byte {at:,} on".removeprefix(", "))
                done = end
            elif walk.calls:
                for imported in _dangers(walk):
                    self._judge_import(imported, where=where)

    def _walk_at(self, file: BinaryIO, at: int, size: int, window: bytes) -> tuple[Walker, int]:
        """In memory, if the pickle ends there. Where it ends, or 0."""
        is_within = not window.startswith(b"\x80")
        tries = ((io.BytesIO(window), len(window), 0), (file, size, at))
        for source, end, begin in tries[: 1 if at + len(window) >= size else 2]:
            if source is file:
                self.work.spend(_ANOTHER_PLACE)
            source.seek(begin)
            walker = Walker(source, end, self.work, is_within=is_within)
            try:
                walker.run()
            except TooMuch:
                raise
            except Unread as error:
                if "breaks off" in str(error):
                    continue
                return walker, 0
            return walker, at + source.tell() - begin
        return walker, 0


def _acts(walk: Walk) -> bool:
    """Whether it would do something: call what it imports, or import what is dangerous."""
    return bool((walk.imports and walk.calls) or _dangers(walk))


def _dangers(walk: Walk) -> list[Import]:
    return [found for found in walk.imports if judge(found.module, found.name) == Judged.DANGEROUS]


def _beginnings(file: BinaryIO, start: int, size: int) -> Iterator[tuple[int, bytes]]:
    """Where a pickle may begin, each with the bytes that follow."""
    at = start
    while at < size:
        file.seek(at)
        window = file.read(_WINDOW + _AHEAD)
        for found in BEGINNINGS.finditer(window):
            if found.start() >= _WINDOW:
                break
            yield at + found.start(), window[found.start() : found.start() + _AHEAD]
        at += _WINDOW
