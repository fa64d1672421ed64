"""From what a client writes to a place among our files, or a refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from core.errors import Invalid

MAX_PATH = 1000
INVALID_PATH = "Invalid path"
_ROOT = re.compile(r"[0-9]+/(?:(?P<run>[0-9a-f]{32})|models/(?P<model>m-[0-9a-f]{32}))/artifacts(?:/(?P<path>.+))?")
# Only as they come: clients before 3.18 put the step of an image between percent signs, and "%100" decodes to one.
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f\\]")
_ELSEWHERE = re.compile(r"#|^/|^[A-Za-z]:|^file:", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder: ``owner`` is a run id or logged model id, ``path`` is relative to its root ("" is the root)."""

    owner: str
    path: str

    def at(self, name: str) -> Place:
        """What has this name in the folder. Raises Invalid."""
        return Place(self.owner, clean_path(f"{self.path}/{name}" if self.path else name))


def clean_path(path: str) -> str:
    """The path itself when it is plain; Invalid for anything that some decoding could turn into another place."""
    if _UNPRINTABLE.search(path):
        raise Invalid(INVALID_PATH, field="path")
    decoded = path
    for _ in range(20):
        if _ELSEWHERE.search(decoded):
            raise Invalid(INVALID_PATH, field="path")
        if decoded and any(part in ("", ".", "..") for part in decoded.replace("\\", "/").split("/")):
            raise Invalid(INVALID_PATH, field="path")
        further = unquote(decoded)
        if further == decoded:
            break
        decoded = further
    else:
        raise Invalid(INVALID_PATH, field="path")
    if len(path) > MAX_PATH:
        raise Invalid(f"A path has at most {MAX_PATH} characters.", field="path")
    return path


def parse_path(path: str) -> Place:
    """``<experiment>/<run>/artifacts/…`` or ``<experiment>/models/<model>/artifacts/…``. Raises Invalid."""
    match = _ROOT.fullmatch(clean_path(path))
    if match is None:
        raise Invalid(f"{INVALID_PATH}: it is not inside the artifacts of a run or logged model.", field="path")
    inside = match["path"] or ""
    return Place(match["run"] or match["model"], clean_path(inside) if inside else "")
