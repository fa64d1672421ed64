"""The files of a version as a tree, alone or beside those of another version. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.comparison import Changed, pairs

Files = dict[str, tuple[int, str]]  # by path, size and SHA-256
_ENDINGS = frozenset(
    "cfg conf csv css env htm html ini ipynb js json jsonl lock log markdown md properties py r rst sh sql svg text "
    "toml tsv txt xml yaml yml".split()
)
_NAMES = frozenset("dockerfile license makefile mlmodel mlproject readme".split())


@dataclass(frozen=True, slots=True)
class FileLine:
    """A line of the tree: a folder (``is_folder``), or a file with what it is and was."""

    path: str
    depth: int
    is_folder: bool = False
    kind: str = "same"
    size: int = 0
    sha256: str = ""
    size_before: int | None = None
    verdict: str = ""

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def shows_lines(self) -> bool:
        """Whether it is best looked at by the lines that differ."""
        return self.kind == "changed" and reads_as_text(self.path)


def reads_as_text(path: str) -> bool:
    """Whether the name of a file promises text; what is in it decides when it is read."""
    name = path.rsplit("/", 1)[-1].lower()
    return name in _NAMES or (name.rpartition(".")[2] in _ENDINGS and "." in name)


def file_lines(before: Files | None, after: Files, verdicts: Mapping[str, str]) -> list[FileLine]:
    """By path; what differs first, else it would have to be looked for among thousands that do not."""
    changes = [Changed(path, None, found) for path, found in after.items()] if before is None else pairs(before, after)
    lines = [_line(change, verdicts) for change in changes]
    return sorted(lines, key=lambda line: (before is not None and line.kind == "same", line.path.split("/")))


def _line(change: Changed, verdicts: Mapping[str, str]) -> FileLine:
    size, sha256 = change.after or change.before
    return FileLine(
        path=change.name,
        depth=change.name.count("/"),
        kind=change.kind,
        size=size,
        sha256=sha256,
        size_before=change.before[0] if change.kind == "changed" else None,
        verdict=verdicts.get(change.name, ""),
    )


def with_folders(files: Sequence[FileLine]) -> list[FileLine]:
    """Before the first file of a folder a line of the folder."""
    lines: list[FileLine] = []
    open_folders: list[str] = []
    for file in files:
        folders = file.path.split("/")[:-1]
        above = [folders[: depth + 1] for depth in range(len(folders))]
        opened = [path for path in above if open_folders[: len(path)] != path]
        lines += [FileLine("/".join(path), len(path) - 1, is_folder=True) for path in opened]
        lines.append(file)
        open_folders = folders
    return lines
