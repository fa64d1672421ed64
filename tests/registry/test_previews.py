"""A look into a file: text and pictures in bounded size, and a sentence for everything else."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest
from django.core.files.storage import default_storage

from core.errors import Invalid, NotFound
from registry.models import ArtifactFile, ModelVersion
from registry.previews import MOST_PICTURE, MOST_TEXT, laid_out, picture, preview_of
from tests.factories import make_version

pytestmark = pytest.mark.django_db
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


def of(path: str, content: bytes) -> ModelVersion:
    return make_version(files={path: content})


@pytest.mark.parametrize(
    ("path", "content", "kind", "text"),
    [
        ("notes.txt", b"as it is <b>", "text", "as it is <b>"),
        ("MLmodel", b"flavors: {}\n", "text", "flavors: {}\n"),
        ("page.html", b"<script>", "text", "<script>"),
        ("drawing.svg", b"<svg onload=x>", "text", "<svg onload=x>"),
        ("card.md", b"# Card", "markdown", "# Card"),
        ("example.json", b'{"a": [1, 2]}', "text", '{\n  "a": [\n    1,\n    2\n  ]\n}'),
        ("twice.json", b'{"a": 1, "a": 2}', "text", '{"a": 1, "a": 2}'),
        ("number.json", b'{"a": 1.10}', "text", '{"a": 1.10}'),
        ("broken.json", b'{"a": ', "text", '{"a": '),
        ("deep.json", b"[" * 9000, "text", "[" * 9000),
        ("long.json", b"1" * 9000, "text", "1" * 9000),
        ("model.pkl", b"\x80\x04N.", "none", ""),
        ("latin.txt", b"caf\xe9 au lait", "none", ""),
        ("empty.txt", b"", "text", ""),
        ("plot.png", PNG, "picture", ""),
        ("PLOT.JPEG", b"whatever it is", "picture", ""),
    ],
)
def test_what_is_shown_of_a_file(path: str, content: bytes, kind: str, text: str) -> None:
    found = preview_of(of(path, content), path)

    assert (found.kind, found.text) == (kind, text)
    assert bool(found.problem) == (kind == "none")


def test_json_that_would_be_long_when_laid_out_is_not_laid_out_to_see_that() -> None:
    deep = f"{'[' * 900}{'1,' * 15_000}1{']' * 900}"
    assert len(deep) <= MOST_TEXT

    tracemalloc.start()
    try:
        assert laid_out(deep) == deep
        assert tracemalloc.get_traced_memory()[1] < 100 * MOST_TEXT
    finally:
        tracemalloc.stop()


def test_a_long_text_is_cut_at_a_whole_character() -> None:
    found = preview_of(of("long.txt", "€".encode() * MOST_TEXT), "long.txt")

    assert found.is_cut and set(found.text) == {"€"} and len(found.text) == MOST_TEXT // 3


def test_a_long_markdown_is_plain_text() -> None:
    assert preview_of(of("card.md", b"# a\n" * MOST_TEXT), "card.md").kind == "text"


@pytest.mark.parametrize("path", ["nothing.txt", "../secret", "a\\b", "", "folder"])
def test_what_is_not_there_is_a_sentence(path: str) -> None:
    found = preview_of(of("folder/file.txt", b"x"), path)

    assert found.kind == "none" and found.problem


def test_a_version_whose_files_lie_elsewhere_has_none() -> None:
    assert "do not lie here" in preview_of(make_version(files={}), "MLmodel").problem


def test_bytes_that_are_gone_and_a_storage_that_fails_are_sentences() -> None:
    version = of("notes.txt", b"x")
    place = Path(default_storage.path(ArtifactFile.objects.get().storage_key))
    place.unlink()
    gone = preview_of(version, "notes.txt")
    place.mkdir()  # a folder cannot be read as a file
    broken = preview_of(version, "notes.txt")

    assert "not in the storage any more" in gone.problem and "cannot be used now" in broken.problem


def test_a_picture_is_what_its_name_and_its_first_bytes_say() -> None:
    assert picture(of("plot.png", PNG), "plot.png") == (PNG, "image/png")
    assert picture(of("a.webp", b"RIFF0000WEBP"), "a.webp")[1] == "image/webp"


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("plot.png", b"<script>alert(1)</script>"),
        ("plot.webp", b"RIFF0000AVI "),
        ("drawing.svg", b"<svg>"),
        ("page.html", PNG),
        ("noend", PNG),
        ("large.png", PNG + b"\x00" * MOST_PICTURE),
    ],
)
def test_nothing_else_is_a_picture(path: str, content: bytes) -> None:
    with pytest.raises(Invalid):
        picture(of(path, content), path)


def test_a_picture_that_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        picture(of("plot.png", PNG), "other.png")
