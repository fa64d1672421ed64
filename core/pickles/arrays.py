"""How many bytes an item of an array takes, where numpy's type of it is written as numpy writes it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from core.pickles.values import Import, Made, TextDict

_SIMPLE = re.compile(r"([?biufcmMSUV])([1-9]\d{0,8})")
_PLAIN_FLAGS = {"": (0,), "S": (0, 8, 16), "U": (0, 8, 16), "V": (0, 8, 16, 128, 144)}


@dataclass(frozen=True, slots=True)
class DType:
    size: int
    holds_objects: bool


def dtype_of(made: Any) -> DType | None:
    """A numpy.dtype that is written as numpy writes it; None for any other, whose length would be a guess."""
    if not isinstance(made, Made) or made.by != Import("numpy", "dtype") or not isinstance(made.args, tuple):
        return None
    state = made.state
    if len(made.args) != 3 or not isinstance(made.args[0], str) or not isinstance(state, tuple) or len(state) < 8:
        return None
    _version, order, subarray, names, fields, size, _alignment, flags = state[:8]
    if made.args[0] == "O8":
        return DType(8, holds_objects=True) if (names, fields, size, flags) == (None, None, -1, 63) else None
    found = _SIMPLE.fullmatch(made.args[0])
    if not found or order not in ("<", ">", "=", "|") or subarray is not None:
        return None
    kind, count = found[1], int(found[2])
    length = 4 * count if kind == "U" else count
    if size not in (-1, length) or flags not in _PLAIN_FLAGS.get(kind, (0,)):
        return None
    if (names, fields) == (None, None):
        return DType(length, holds_objects=False)
    if kind != "V" or not isinstance(fields, TextDict) or not fields.is_exact:
        return None
    parts = [dtype_of(field[0]) for field in fields.values() if isinstance(field, tuple) and field]
    if len(parts) < len(fields) or not all(part and not part.holds_objects for part in parts):
        return None
    return DType(length, holds_objects=False)
