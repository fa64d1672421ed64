"""What the reading of pickles may cost, and why it ends before their end."""

from __future__ import annotations

from dataclasses import dataclass

MOST_OPCODES = 20_000_000  # of all that a file holds together
MOST_HELD = 1_000_000  # on the stack and in the memo of one pickle
MOST_IMPORTS = 100_000  # of pickles that follow each other
MOST_WITHIN = 4_000_000  # items of all tuples and dictionaries of one pickle; those after them are not kept
LONGEST_TEXT = 256  # that is kept: no name is longer
LONGEST_LINE = 1024 * 1024


class Unread(Exception):
    """Why a pickle cannot be read to its end, as a clause about "it"."""


class Broken(Unread):
    """No unpickler gets any further."""


class Unclear(Unread):
    """An unpickler may go on, in a way that is not known here."""


class TooMuch(Unread):
    """A limit of this reading."""


@dataclass(slots=True)
class Work:
    """What the reading of one file may still cost, all that is packed in it included."""

    opcodes: int = MOST_OPCODES

    def spend(self, opcodes: int = 1) -> None:
        self.opcodes -= opcodes
        if self.opcodes < 0:
            raise TooMuch(f"it has more than {MOST_OPCODES:,} opcodes")
