"""The arguments of opcodes: each is read as pickletools says that it is written; none is trusted with its length."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any, BinaryIO

from core.pickles.limits import LONGEST_LINE, LONGEST_TEXT, Broken, TooMuch, Work
from core.pickles.values import Some


@dataclass(frozen=True, slots=True)
class Opcode:
    """An opcode of pickletools. ``width``: of a number, or of the length that stands before the argument."""

    info: Any
    name: str
    width: int = 0
    is_signed: bool = False


class Arguments:
    """``size`` is where the bytes of ``file`` end."""

    def __init__(self, file: BinaryIO, size: int, work: Work) -> None:
        self._file, self._size, self._work = file, size, work

    def _read(self, number: int) -> bytes:
        data = self._file.read(number)
        if len(data) < number:
            raise Broken("it breaks off")
        return data

    def _line(self) -> bytes:
        line = self._file.readline(LONGEST_LINE)
        if not line.endswith(b"\n"):
            raise TooMuch("it has a very long line") if len(line) >= LONGEST_LINE else Broken("it breaks off")
        self._work.spend(len(line) // 64)
        return line

    def names(self, op: Opcode) -> tuple[str, str]:
        try:
            return self._line()[:-1].decode(), self._line()[:-1].decode()
        except UnicodeDecodeError as error:
            raise Broken("it imports something that is no name") from error

    def text_line(self, op: Opcode) -> Any:
        """By the readers of pickletools; what they do not take, another unpickler may."""
        line = self._line()
        if len(line) > 4 * LONGEST_TEXT:
            return Some.UNKNOWN
        try:
            return op.info.arg.reader(io.BytesIO(line))
        except ValueError as error:
            if op.name in ("GET", "PUT"):
                raise Broken("it names no place of its memo") from error
            return Some.UNKNOWN

    def number(self, op: Opcode) -> int:
        return int.from_bytes(self._read(op.width), "little", signed=op.info.arg.name == "int4")

    def counted(self, op: Opcode) -> Any:
        """Texts and small numbers; everything else is stepped over, however long it says it is."""
        length = int.from_bytes(self._read(op.width), "little", signed=op.is_signed)
        if length < 0 or self._file.tell() + length > self._size:
            raise Broken("it breaks off")
        is_text = "string" in op.info.arg.name
        if length > (LONGEST_TEXT if is_text else 8) or "bytes" in op.info.arg.name:
            self._file.seek(length, io.SEEK_CUR)
            return Some.UNKNOWN if is_text else Some.THING
        data = self._read(length)
        if not is_text:
            return int.from_bytes(data, "little", signed=True)
        try:
            return data.decode("ascii") if "BINSTRING" in op.name else data.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError as error:
            if "BINSTRING" in op.name:
                return Some.UNKNOWN
            raise Broken("it holds a text that is none") from error
