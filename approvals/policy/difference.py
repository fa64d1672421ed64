"""What one text of a policy says and another does not: line by line, and in the plain sentences of its reading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from approvals.policy.document import Policy
from approvals.policy.reading import parse, parse_published
from approvals.policy.source import PolicyError
from approvals.policy.wording import sentences
from core.line_diff import Hunk, line_diff, lines_of


@dataclass(frozen=True, slots=True)
class Difference:
    """``hunks``: the lines that change, each group with some that stay; ``unified``: the same as ``diff -u`` writes it,
    without the names. ``gone`` and ``added`` are sentences; a text that cannot be read says nothing."""

    hunks: tuple[Hunk, ...]
    unified: str
    gone: tuple[str, ...]
    added: tuple[str, ...]


def difference(before: str, after: str, *, read: Policy | None = None) -> Difference:
    """``before`` was published; ``read`` is the reading of ``after``, where that is at hand."""
    said, says = _said(before, parse_published), sentences(read) if read else _said(after, parse)
    lines = line_diff(lines_of(before), lines_of(after))
    return Difference(
        hunks=lines.hunks,
        unified=lines.unified,
        gone=tuple(sentence for sentence in said if sentence not in says),
        added=tuple(sentence for sentence in says if sentence not in said),
    )


def _said(text: str, reading: Callable[[str], Policy]) -> list[str]:
    try:
        return sentences(reading(text))
    except PolicyError:
        return []
