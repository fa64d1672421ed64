"""Walking the opcodes of one pickle from its first to its STOP, as an unpickler would, and importing nothing.

A stack of stand-ins tells which strings name an import, wherever they were memoised, and how many bytes of an array
joblib put between two opcodes. What two unpicklers may understand differently is not guessed: it is ``Unclear``.
"""

from __future__ import annotations

import math
import pickletools
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, BinaryIO

from core.pickles.arguments import Arguments, Opcode
from core.pickles.arrays import dtype_of
from core.pickles.imports import Judged, judge
from core.pickles.limits import (
    MOST_HELD,
    MOST_IMPORTS,
    MOST_OPCODES,
    MOST_WITHIN,
    Broken,
    TooMuch,
    Unclear,
    Unread,
    Work,
)
from core.pickles.values import MOST_KEPT, WRAPPER, Import, Made, Some, TextDict

MOST_PROBED = 5_000  # opcodes that an array's bytes may look like
_LONGEST_PADDING = 32  # of an array by joblib; no number up to it is an opcode
_SEEN_BELOW = 64  # of the stack, when an array's bytes are taken for opcodes


@dataclass(slots=True)
class Walk:
    """What one pickle, read so far, imports: each with the place where it first does. ``calls``: how often it calls
    anything."""

    imports: dict[Import, int] = field(default_factory=dict)
    calls: int = 0
    unclear: list[str] = field(default_factory=list)

    def note(self, why: str) -> None:
        if why not in self.unclear and len(self.unclear) < 20:
            self.unclear.append(why)

    def imported(self, found: Import, place: int) -> None:
        self.imports.setdefault(found, place)
        if len(self.imports) > MOST_IMPORTS:
            raise TooMuch(f"it imports more than {MOST_IMPORTS:,} things")

    def add(self, other: Walk) -> None:
        for found, place in other.imports.items():
            self.imported(found, place)
        self.calls += other.calls
        for why in other.unclear:
            self.note(why)


class Walker(Arguments):
    """``run`` reads from where ``file`` stands; ``size`` is where its bytes end. What was found until an exception
    stands in ``walk``. ``is_within``: it begins in the middle, below ``stack`` lies what nobody knows."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        work: Work,
        *,
        is_within: bool = False,
        is_nested: bool = False,
        stack: Sequence[Any] = (),
        memo: Mapping[int, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(file, size, work)
        self.walk = Walk()
        self._is_within, self._is_nested = is_within, is_nested
        self._stack = list(stack)
        self._marks: list[int] = []  # how high the stack was at each
        self._memo: dict[int, Any] = {}
        self._outer, self._memorised = memo, len(memo)
        self._frame_end = self._within = 0

    def run(self, *, most: int = MOST_OPCODES) -> Walk:
        """To STOP and not a byte further. Raises Unread."""
        read = self._file.read
        for _ in range(most):
            self._work.spend()
            code = read(1)
            if not code:
                raise Broken("it breaks off")
            found = _OPS.get(code)
            if found is None:
                raise Broken(f"it holds a byte that is no opcode at {self._file.tell() - 1:,}")
            if found.name == "STOP":
                self._pop()
                return self.walk
            found.act(self, found, found.argument(self, found))
            if len(self._stack) + len(self._memo) > MOST_HELD:
                raise TooMuch(f"it holds more than {MOST_HELD:,} things at once")
        raise TooMuch(f"it has more than {most:,} opcodes")

    # -- The stack -----------------------------------------------------------------------------------------------------

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if len(self._stack) > (self._marks[-1] if self._marks else 0):
            return self._stack.pop()
        if self._is_within and not self._marks:
            return Some.UNKNOWN
        raise Broken("it takes more than it has")

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            if not self._is_within:
                raise Broken("it has no mark where it needs one")
            taken, self._stack = self._stack, []
            return taken
        start = self._marks.pop()
        taken = self._stack[start:]
        del self._stack[start:]
        return taken

    def _plain(self, op: Opcode, _argument: Any) -> None:
        """An opcode that only takes and gives."""
        takes = [name.name for name in op.info.stack_before]
        taken: list[Any] = []
        if "mark" in takes:
            taken = self._pop_to_mark()
            takes = takes[: takes.index("mark")]
        taken += [self._pop() for _ in takes]
        self._see_through(taken)
        for result in op.info.stack_after:
            self._push(Some.UNKNOWN if result.name == "any" else Some.THING)

    def _see_through(self, taken: list[Any]) -> None:
        """joblib's wrapper within something else may come back by a way that nobody sees."""
        if self._is_within:
            return
        if WRAPPER in taken or any(isinstance(value, Made) and value.by == WRAPPER for value in taken):
            self.walk.note("it uses joblib's wrapper of arrays as joblib never does")

    # -- Imports and calls ---------------------------------------------------------------------------------------------

    def _import(self, module: Any, name: Any) -> None:
        if Some.THING in (module, name) or not all(isinstance(part, str | Made | Some) for part in (module, name)):
            raise Broken("it imports something that is no name")
        if not isinstance(module, str) or not isinstance(name, str):
            self.walk.note("it imports something whose name it works out")
            self._push(Some.UNKNOWN)
            return
        if not _NAME.fullmatch(module) or not _NAME.fullmatch(name):
            raise Broken("it imports something that is no name")
        found = Import(module, name)
        self.walk.imported(found, self._file.tell())
        self._push(found)

    def _call(self, function: Any, args: Any) -> None:
        if not isinstance(function, Import | Made) and function is not Some.UNKNOWN:
            raise Broken("it calls what cannot be called")
        self.walk.calls += 1
        if isinstance(function, Import):
            self._push(Made(function, args))
        else:
            self.walk.note("it calls something that it has made itself")
            self._push(Some.UNKNOWN)

    def _build(self, op: Opcode, _argument: Any) -> None:
        state, built = self._pop(), self._pop()
        self.walk.calls += 1
        self._push(built)
        if isinstance(built, Import):
            self.walk.note(f"it changes {built}")
        if not isinstance(built, Made):
            return
        if built.by == WRAPPER:
            self._array(built, state)
            return
        built.state, built.is_built = (Some.UNKNOWN if built.is_built else state), True

    # -- joblib --------------------------------------------------------------------------------------------------------

    def _array(self, wrapper: Made, state: Any) -> None:
        """joblib writes an array's bytes behind the opcode that ends its wrapper: step over exactly these.

        Whoever unpickles without joblib takes them for opcodes, and older releases know no padding: what they would
        import there is looked at as well.
        """
        if wrapper.is_built or wrapper.args != () or not isinstance(state, TextDict) or not state.is_exact:
            raise Unclear("it uses joblib's wrapper of arrays as joblib never does")
        if self._is_nested or self._is_within:
            raise Unclear("it uses joblib's wrapper of arrays as joblib never does")
        wrapper.is_built = True
        begin = self._file.tell()
        if self._frame_end > begin:
            raise Unclear("an array of joblib lies within a frame")
        dtype = dtype_of(state.get("dtype"))
        shape = state.get("shape")
        if dtype is None or not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise Unclear("it has an array of joblib whose length is not plain")
        has_padding = not dtype.holds_objects and state.get("numpy_array_alignment_bytes") is not None
        if not has_padding:
            self._probe(begin, only_dangerous=dtype.holds_objects)
        self._stack[-1] = Some.THING
        if dtype.holds_objects:
            inner = Walker(self._file, self._size, self._work, is_nested=True)
            try:
                inner.run()
            finally:
                self.walk.add(inner.walk)
            return
        if has_padding:
            padding = self._read(1)[0]
            if padding > _LONGEST_PADDING:  # nor is a longer one safe: from here on it could be an opcode
                raise Unclear("an array of joblib has more padding than joblib gives")
            self._read(padding)
        length = math.prod(shape) * dtype.size
        end = self._file.tell() + length
        if end > self._size:
            raise Broken("it breaks off within an array")
        if has_padding:
            self._probe(begin + length, only_dangerous=True)
        self._file.seek(end)

    def _probe(self, position: int, *, only_dangerous: bool = False) -> None:
        """What an unpickler that does not step over the bytes of an array as joblib does now would import from here on.
        ``only_dangerous`` where that may well be something by chance: amid numbers, or in a pickle of its own."""
        top = self._stack[-_SEEN_BELOW:]
        probe = Walker(self._file, self._size, self._work, is_within=True, stack=top, memo=self._memo)
        probe._marks = [at for mark in self._marks if (at := mark - len(self._stack) + len(top)) >= 0]
        back = self._file.tell()
        self._file.seek(position)
        try:
            probe.run(most=MOST_PROBED)
        except Broken:
            pass
        except Unread as error:
            if not only_dangerous:
                self.walk.note(str(error))
        found = probe.walk
        if only_dangerous:
            bad = {i: at for i, at in found.imports.items() if judge(i.module, i.name) == Judged.DANGEROUS}
            found = Walk(bad)
        self.walk.add(found)
        self._file.seek(back)

    # -- Opcodes that mean something here ------------------------------------------------------------------------------

    def _value(self, op: Opcode, argument: Any) -> None:
        self._push(_CONSTANTS.get(op.name, argument))

    def _mark(self, op: Opcode, _argument: Any) -> None:
        self._marks.append(len(self._stack))

    def _drop(self, op: Opcode, _argument: Any) -> None:
        """POP takes a mark where that is on top."""
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def _dup(self, op: Opcode, _argument: Any) -> None:
        top = self._pop()
        self._push(top)
        self._push(top)

    def _put(self, op: Opcode, argument: Any) -> None:
        top = self._pop()
        self._push(top)
        place = self._memorised if op.name == "MEMOIZE" else argument
        self._memorised += place not in self._memo and place not in self._outer
        self._memo[place] = top

    def _get(self, op: Opcode, argument: Any) -> None:
        known = self._memo if argument in self._memo else self._outer
        if argument not in known and not self._is_within:
            raise Broken("it takes from its memo what it never put there")
        self._push(known.get(argument, Some.UNKNOWN))

    def _tuple(self, op: Opcode, _argument: Any) -> None:
        if op.name == "TUPLE":
            items = self._pop_to_mark()
        else:
            items = [self._pop() for _ in op.info.stack_before][::-1]
        self._see_through(items)
        self._push(self._kept(items))

    def _kept(self, items: list[Any]) -> Any:
        """As a tuple, unless they are many, here or in all."""
        self._within += len(items)
        return tuple(items) if len(items) <= MOST_KEPT and self._within <= MOST_WITHIN else Some.THING

    def _dict(self, op: Opcode, _argument: Any) -> None:
        made = TextDict()
        items = self._pop_to_mark() if op.name == "DICT" else []
        self._set_in(made, items)
        self._push(made)

    def _set_items(self, op: Opcode, _argument: Any) -> None:
        items = self._pop_to_mark() if op.name == "SETITEMS" else [self._pop(), self._pop()][::-1]
        holder = self._pop()
        self._set_in(holder, items)
        self._push(holder)

    def _set_in(self, holder: Any, items: list[Any]) -> None:
        if len(items) % 2:
            raise Broken("it has a key without a value")
        self._see_through(items)
        if isinstance(holder, TextDict):
            self._within += len(items)
            holder.put(items if self._within <= MOST_WITHIN else [Some.UNKNOWN] * 2)

    def _global(self, op: Opcode, argument: Any) -> None:
        self._import(*argument)

    def _stack_global(self, op: Opcode, _argument: Any) -> None:
        name, module = self._pop(), self._pop()
        self._import(module, name)

    def _inst(self, op: Opcode, argument: Any) -> None:
        args = self._pop_to_mark()
        self._see_through(args)
        self._import(*argument)
        self._call(self._pop(), self._kept(args))

    def _obj(self, op: Opcode, _argument: Any) -> None:
        items = self._pop_to_mark()
        if not items:
            raise Broken("it makes an object of no class")
        self._see_through(items[1:])
        self._call(items[0], self._kept(items[1:]))

    def _reduce(self, op: Opcode, _argument: Any) -> None:
        args = self._pop()
        self._see_through([args])
        self._call(self._pop(), args)

    def _new(self, op: Opcode, _argument: Any) -> None:
        taken = [self._pop() for _ in op.info.stack_before]
        self._see_through(taken[:-1])
        self._call(taken[-1], taken[0] if op.name == "NEWOBJ" else Some.THING)

    def _extension(self, op: Opcode, argument: Any) -> None:
        if self._is_within:
            raise Broken("it imports by a number")
        self.walk.note(f"it imports by the number {argument}, and nobody knows here what that stands for")
        self._push(Some.UNKNOWN)

    def _frame(self, op: Opcode, argument: Any) -> None:
        self._frame_end = self._file.tell() + argument

    def _proto(self, op: Opcode, argument: Any) -> None:
        if argument > _NEWEST:
            raise Broken(f"it is written in protocol {argument}, which is not known here")


@dataclass(frozen=True, slots=True)
class _Op(Opcode):
    """How the argument of an opcode is read, and what it does here."""

    argument: Callable[[Walker, Opcode], Any] = lambda _walker, _op: None
    act: Callable[[Walker, Opcode, Any], None] = Walker._plain


# What is pushed whatever the argument says.
_CONSTANTS = {
    "NONE": None,
    "NEWTRUE": True,
    "NEWFALSE": False,
    "EMPTY_TUPLE": (),
    "BINFLOAT": Some.THING,
    "FLOAT": Some.THING,
    "PERSID": Some.UNKNOWN,
}
_ACTS: dict[str, Callable[[Walker, Opcode, Any], None]] = {
    "MARK": Walker._mark,
    "POP": Walker._drop,
    "DUP": Walker._dup,
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), Walker._put),
    **dict.fromkeys(("GET", "BINGET", "LONG_BINGET"), Walker._get),
    **dict.fromkeys(("TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"), Walker._tuple),
    **dict.fromkeys(("EMPTY_DICT", "DICT"), Walker._dict),
    **dict.fromkeys(("SETITEM", "SETITEMS"), Walker._set_items),
    "GLOBAL": Walker._global,
    "STACK_GLOBAL": Walker._stack_global,
    "INST": Walker._inst,
    "OBJ": Walker._obj,
    "REDUCE": Walker._reduce,
    **dict.fromkeys(("NEWOBJ", "NEWOBJ_EX"), Walker._new),
    "BUILD": Walker._build,
    **dict.fromkeys(("EXT1", "EXT2", "EXT4"), Walker._extension),
    "FRAME": Walker._frame,
    "PROTO": Walker._proto,
    "NEXT_BUFFER": Walker._plain,
}
_COUNTED = {
    pickletools.TAKEN_FROM_ARGUMENT1: 1,
    pickletools.TAKEN_FROM_ARGUMENT4: 4,
    pickletools.TAKEN_FROM_ARGUMENT4U: 4,
    pickletools.TAKEN_FROM_ARGUMENT8U: 8,
}
_NEWEST = max(op.proto for op in pickletools.opcodes)
_NAME = re.compile(r"[^\W\d][\w<>]*(?:\.[^\W\d][\w<>]*)*")


def _op(info: Any) -> _Op:
    act = _ACTS.get(info.name)
    if act is None:
        gives_its_argument = (info.arg is not None or info.name in _CONSTANTS) and not info.stack_before
        act = Walker._value if gives_its_argument else Walker._plain
    if info.arg is None:
        return _Op(info, info.name, act=act)
    if info.arg.name == "stringnl_noescape_pair":
        return _Op(info, info.name, argument=Walker.names, act=act)
    if info.arg.n == pickletools.UP_TO_NEWLINE:
        return _Op(info, info.name, argument=Walker.text_line, act=act)
    if info.arg.n in _COUNTED:
        is_signed = info.arg.n == pickletools.TAKEN_FROM_ARGUMENT4
        return _Op(info, info.name, _COUNTED[info.arg.n], is_signed, argument=Walker.counted, act=act)
    return _Op(info, info.name, info.arg.n, argument=Walker.number, act=act)


_OPS = {info.code.encode("latin-1"): _op(info) for info in pickletools.opcodes}
