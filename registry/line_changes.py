"""Which lines of a file differ between two versions: read in bounded size, compared in bounded work, shown in part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from core.errors import CountersignError
from core.line_diff import Hunk, Line, line_diff, lines_of
from registry.artifacts import files_of_versions
from registry.models import ArtifactFile, ModelVersion
from registry.previews import head_of, laid_out, picture_type, text_in

MOST_BYTES = 256 * 1024  # of each file
MOST_LINES = 400
MOST_CHARACTERS = 16 * 1024  # of all lines together
LONGEST_LINE = 1000  # characters
NO_BREAK = " ⟨no line break at the end⟩"


@dataclass(frozen=True, slots=True)
class LineChanges:
    """``problem`` says why no lines are shown, in a sentence; ``notes`` what is not as it seems in those that are.
    ``unified`` is the same as ``diff -u`` writes it, without the names."""

    hunks: tuple[Hunk, ...] = ()
    unified: str = ""
    notes: tuple[str, ...] = ()
    problem: str = ""


def line_changes(before: ModelVersion, after: ModelVersion, path: str) -> LineChanges:
    """Never raises: what is not there, and a storage that fails, are told."""
    versions = (before, after)
    try:
        files = files_of_versions(versions, path)
        lacks = [version.version for version, file in zip(versions, files, strict=True) if file is None]
        if lacks:
            return LineChanges(problem=f"Version {lacks[0]} has no such file here: there is nothing to compare.")
        return _compared([file for file in files if file is not None])
    except CountersignError as error:
        return LineChanges(problem=error.message)


def _compared(files: Sequence[ArtifactFile]) -> LineChanges:
    if files[0].sha256 == files[1].sha256:
        return LineChanges(problem="Both versions have the same bytes here.")
    if picture_type(files[0].path):
        return LineChanges(problem="It is a picture: open it to look at it.")
    heads = [head_of(file, MOST_BYTES) for file in files]
    goes_on = [file.size > len(head) for file, head in zip(files, heads, strict=True)]
    texts = [text_in(head, is_cut=cut) for head, cut in zip(heads, goes_on, strict=True)]
    if None in texts:
        return LineChanges(problem="It is no text: download both to compare them.")
    written, notes = _written([text or "" for text in texts], files[0].path, is_cut=any(goes_on))
    lines = [_lines(text, cut) for text, cut in zip(written, goes_on, strict=True)]
    if not any(goes_on):
        lines = _with_ends(lines, written)
    found = line_diff(*lines, before_goes_on=goes_on[0], after_goes_on=goes_on[1])
    if any(goes_on):
        notes.append(f"Only the first {MOST_BYTES // 1024} KB of each are compared: what differs beyond is not shown.")
    if found.is_rough:
        notes.append(
            "They differ too much to be compared to the end: some lines shown as removed and added are the same."
        )
    hunks = _some(found.hunks)
    if left := sum(map(len, found.hunks)) - sum(map(len, hunks)):
        notes.append(f"{left:,} more lines are not shown: download both to compare them.")
    if not hunks:
        notes.append("In what is compared no line differs.")
    shown = replace(found, hunks=hunks)
    return LineChanges(tuple(map(_shortened, hunks)), shown.unified, tuple(notes))


def _written(texts: list[str], path: str, *, is_cut: bool) -> tuple[list[str], list[str]]:
    """JSON on a line or two is laid out, where both can be."""
    laid = [laid_out(text) for text in texts] if path.lower().endswith(".json") and not is_cut else texts
    if any(new == old for new, old in zip(laid, texts, strict=True)):
        return texts, []
    return laid, ["Both are laid out here; the files have it all on a few lines."]


def _lines(text: str, is_cut: bool) -> list[str]:
    """Without the last line of what is cut, which is half of one."""
    lines = lines_of(text)
    return lines[:-1] if is_cut and len(lines) > 1 else lines


def _with_ends(lines: list[list[str]], texts: list[str]) -> list[list[str]]:
    """Where only one of them ends with a line break, the last line of the other says so."""
    ends = [text.endswith("\n") or not text for text in texts]
    if all(ends) or not any(ends):
        return lines
    return [some if end else [*some[:-1], some[-1] + NO_BREAK] for some, end in zip(lines, ends, strict=True)]


def _some(hunks: Sequence[Hunk]) -> tuple[Hunk, ...]:
    """The first lines, as many as are shown."""
    shown: list[Hunk] = []
    lines, characters = MOST_LINES, MOST_CHARACTERS
    for hunk in hunks:
        kept: list[Line] = []
        for line in hunk:
            lines, characters = lines - 1, characters - min(len(line.text), LONGEST_LINE)
            if lines < 0 or characters < 0:
                return (*shown, tuple(kept)) if kept else tuple(shown)
            kept.append(line)
        shown.append(tuple(kept))
    return tuple(shown)


def _shortened(hunk: Hunk) -> Hunk:
    """Long lines in part: from the start, or from where two that stand for one another begin to differ."""
    gone, added = ([line for line in hunk if line.sign == sign] for sign in "-+")
    starts: dict[Line, int] = {}
    for old, new in zip(gone, added, strict=False):
        if min(len(old.text), len(new.text)) > LONGEST_LINE:
            same = next((at for at, (a, b) in enumerate(zip(old.text, new.text, strict=False)) if a != b), 0)
            starts[old] = starts[new] = max(0, same - LONGEST_LINE // 2)
    return tuple(replace(line, text=_short(line.text, starts.get(line, 0))) for line in hunk)


def _short(text: str, start: int) -> str:
    before = f"{start:,} characters, then …" if start else ""
    more = len(text) - start - LONGEST_LINE
    return f"{before}{text[start : start + LONGEST_LINE]}" + (f"… {more:,} more characters" if more > 0 else "")
