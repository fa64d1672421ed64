"""Patterns for names: ``*`` stands for any run of characters, ``?`` for one; everything else stands for itself."""

from __future__ import annotations

import unicodedata

LONGEST = 256  # as long as a model's name may be


def matches(pattern: str, name: str) -> bool:
    """Whether the whole of ``name`` fits ``pattern``; case counts.

    Only the newest ``*`` is ever tried again, so the work is at most the product of both lengths, whatever they say.
    """
    pattern = unicodedata.normalize("NFC", pattern)
    name = unicodedata.normalize("NFC", name)
    at = in_name = 0
    star = -1  # where the newest * stands in the pattern, and how far into the name it reaches
    reach = 0
    while in_name < len(name):
        if at < len(pattern) and pattern[at] == "*":
            star, reach = at, in_name
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", name[in_name]):
            at += 1
            in_name += 1
        elif star >= 0:
            reach += 1
            at, in_name = star + 1, reach
        else:
            return False
    return all(character == "*" for character in pattern[at:])
