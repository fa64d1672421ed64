"""What stands on the stack in the place of values: nothing is made of what a pickle says."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

MOST_KEPT = 64  # items of a tuple or dictionary


class Some(enum.Enum):
    """Stands for a value that is not kept."""

    THING = "a list, a number, …: neither a text nor anything that can be called"
    UNKNOWN = "anything"


@dataclass(frozen=True, slots=True)
class Import:
    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


@dataclass(slots=True)
class Made:
    """What calling an import returned."""

    by: Import
    args: Any
    state: Any = None
    is_built: bool = False


class TextDict(dict[str, Any]):
    """A small dictionary with texts as keys; ``is_exact`` is False once it is anything else."""

    is_exact = True

    def put(self, items: list[Any]) -> None:
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str) and len(self) < MOST_KEPT:
                self[key] = value
            else:
                self.is_exact = False


WRAPPER = Import("joblib.numpy_pickle", "NumpyArrayWrapper")
