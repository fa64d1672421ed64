"""A look into a file of a version without fetching it whole: text, JSON, YAML, Markdown and pictures, in bounded size.

What is shown is text that the page escapes, or a picture whose first bytes say that it is one. HTML and SVG are text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

from core.blobs import blobs
from core.errors import CountersignError, Invalid, NotFound
from registry.artifacts import file_of_version
from registry.models import ArtifactFile, ModelVersion

MOST_TEXT = 32 * 1024
MOST_PICTURE = 5 * 1024 * 1024
_GONE = "Its bytes are not in the storage any more."
_SIGNS = {
    "image/png": b"\x89PNG\r\n\x1a\n",
    "image/jpeg": b"\xff\xd8\xff",
    "image/gif": b"GIF8",
    "image/webp": b"RIFF",
}
_ENDINGS = {
    ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
}  # fmt: skip
_ENCODER = json.JSONEncoder(indent=2, ensure_ascii=False)
_UNPRINTABLE = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")


@dataclass(frozen=True, slots=True)
class Preview:
    """``kind`` is text, markdown, picture or none; where it is none, ``problem`` says why in a sentence."""

    file: ArtifactFile | None
    kind: str
    text: str = ""
    is_cut: bool = False
    problem: str = ""


def preview_of(version: ModelVersion, path: str) -> Preview:
    """Never raises: what is not there, and a storage that fails, are told."""
    try:
        file = file_of_version(version, path)
        return _preview(file)
    except CountersignError as error:
        return Preview(None, "none", problem=error.message)


def _preview(file: ArtifactFile) -> Preview:
    if picture_type(file.path):
        return (
            Preview(file, "picture") if file.size <= MOST_PICTURE else _none(file, "It is too large to be shown here.")
        )
    try:
        content = head_of(file, MOST_TEXT)
    except NotFound:
        return _none(file, _GONE)
    text = text_in(content, is_cut=file.size > len(content))
    if text is None:
        return _none(file, "It is no text and no picture: download it to look into it.")
    is_cut = file.size > len(content)
    name = file.path.lower()
    if name.endswith((".md", ".markdown")) and not is_cut:
        return Preview(file, "markdown", text)
    return Preview(file, "text", laid_out(text) if name.endswith(".json") and not is_cut else text, is_cut)


def _none(file: ArtifactFile, problem: str) -> Preview:
    return Preview(file, "none", problem=problem)


def picture_type(path: str) -> str:
    """The type that the name of a file promises; empty for what is no picture of a kind that is shown."""
    _, dot, ending = path.lower().rpartition(".")
    return _ENDINGS.get(f".{ending}", "") if dot else ""


def picture(version: ModelVersion, path: str) -> tuple[bytes, str]:
    """(bytes, type) of a picture that is one by name and by its first bytes. Raises Invalid for anything else."""
    file = file_of_version(version, path)
    kind = picture_type(file.path)
    if not kind or file.size > MOST_PICTURE:
        raise Invalid(
            "Only PNG, JPEG, GIF and WebP pictures of at most 5 MB are shown. Download the file.", field="path"
        )
    content = head_of(file, MOST_PICTURE)
    if not content.startswith(_SIGNS[kind]) or (kind == "image/webp" and content[8:12] != b"WEBP"):
        raise Invalid("The file is not the picture that its name says. Download it to look into it.", field="path")
    return content, kind


def head_of(file: ArtifactFile, most: int) -> bytes:
    """Its first bytes. Raises NotFound where they are gone, and Unavailable for a storage that fails."""
    try:
        with closing(blobs().read(file.storage_key, length=most)) as stream:
            return b"".join(stream)
    except FileNotFoundError as error:
        raise NotFound(_GONE) from error


def text_in(content: bytes, *, is_cut: bool) -> str | None:
    """None for what is no UTF-8 text; a character that the cut went through is left out."""
    if not _UNPRINTABLE.isdisjoint(content):
        return None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if is_cut and error.start >= len(content) - 4:
            return content[: error.start].decode("utf-8-sig")
        return None


def laid_out(text: str) -> str:
    """JSON that is written on a single line or a few is laid out in many, where nothing but blanks tells the two apart:
    a key that is there twice, or a number that Python would write otherwise, is shown as it stands."""
    if text.count("\n") > 3 or len(text) > MOST_TEXT:
        return text
    try:
        written = "".join(_up_to(2 * MOST_TEXT, _ENCODER.iterencode(json.loads(text))))
    except (ValueError, RecursionError):
        return text
    return written if "".join(written.split()) == "".join(text.split()) else text


def _up_to(most: int, pieces: Iterator[str]) -> Iterator[str]:
    """Raises ValueError for what is longer: a list within a thousand others is all blanks."""
    for piece in pieces:
        most -= len(piece)
        if most < 0:
            raise ValueError("too long")
        yield piece
