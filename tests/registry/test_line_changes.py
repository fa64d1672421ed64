"""Which lines of a file differ between two versions: whatever the bytes are, in bounded size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from pytest_django import DjangoAssertNumQueries

from core.formatting import spelled_out
from registry.file_tree import reads_as_text
from registry.line_changes import (
    LONGEST_LINE,
    MOST_BYTES,
    MOST_CHARACTERS,
    MOST_LINES,
    NO_BREAK,
    LineChanges,
    line_changes,
)
from registry.models import ArtifactFile
from tests.factories import make_run, make_version

pytestmark = pytest.mark.django_db


def of(before: bytes, after: bytes, path: str = "conf/settings.yaml") -> LineChanges:
    old, new = (make_version("churn", files={path: content}) for content in (before, after))
    return line_changes(old, new, path)


def signs(found: LineChanges) -> list[str]:
    return [f"{line.sign}{line.text}" for hunk in found.hunks for line in hunk]


def test_lines_have_their_numbers_and_what_happened_to_them(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    old = make_version("churn", files={"MLmodel": b"a: 1\nb: 2\nc: 3\n"})
    new = make_version("churn", files={"MLmodel": b"a: 1\nb: 3\nc: 3\n"})

    with django_assert_num_queries(1):
        found = line_changes(old, new, "MLmodel")

    assert [(line.sign, line.old, line.new, line.text) for line in found.hunks[0]] == [
        (" ", 1, 1, "a: 1"), ("-", 2, None, "b: 2"), ("+", None, 2, "b: 3"), (" ", 3, 3, "c: 3"),
    ]  # fmt: skip
    assert found.unified == "@@ -1,3 +1,3 @@\n a: 1\n-b: 2\n+b: 3\n c: 3\n" and found.notes == ()


def test_two_versions_of_one_run_are_compared_by_their_own_folders() -> None:
    run = make_run()
    old, new = (make_version("churn", run=run, files={"a.txt": content}) for content in (b"1\n", b"2\n"))

    assert signs(line_changes(old, new, "a.txt")) == ["-1", "+2"]


@pytest.mark.parametrize(
    ("before", "after", "path", "problem"),
    [
        (b"same", b"same", "a.txt", "the same bytes"),
        (b"\x00\x01", b"\x00\x02", "a.txt", "no text"),
        (b"\x80\x04N.", b"\x80\x04N..", "model.pkl", "no text"),
        (b"caf\xe9", b"cafe", "a.txt", "no text"),
        ("a".encode("utf-16"), b"a", "a.txt", "no text"),
        (b"\x89PNG 1", b"\x89PNG 2", "plot.png", "picture"),
    ],
)
def test_what_is_not_compared_is_a_sentence(before: bytes, after: bytes, path: str, problem: str) -> None:
    found = of(before, after, path)

    assert problem in found.problem and found.hunks == ()


@pytest.mark.parametrize("path", ["../a.txt", "%2e%2e/a.txt", "/etc/passwd", "a\x00b", "a\\b", "", "a" * 2000, "conf",
    "gone.txt", "file:a"])  # fmt: skip
def test_a_path_that_leads_to_no_file_is_a_sentence(path: str) -> None:
    old, new = (make_version("churn", files={"a.txt": content, "conf/b": b""}) for content in (b"1", b"2"))

    found = line_changes(old, new, path)

    assert found.problem and found.hunks == ()


def test_files_that_lie_elsewhere_are_a_sentence() -> None:
    here, elsewhere = make_version("churn", files={"a.txt": b"1"}), make_version("churn", files={})

    assert "Version 2 has no such file here" in line_changes(here, elsewhere, "a.txt").problem
    assert "Version 2 has no such file here" in line_changes(elsewhere, here, "a.txt").problem


def test_a_storage_that_fails_is_a_sentence() -> None:
    old, new = (make_version("churn", files={"a.txt": content}) for content in (b"1", b"2"))
    place = Path(default_storage.path(ArtifactFile.objects.order_by("pk")[0].storage_key))
    place.unlink()
    gone = line_changes(old, new, "a.txt")
    place.mkdir()  # a folder cannot be read as a file
    broken = line_changes(old, new, "a.txt")

    assert gone.problem == "Its bytes are not in the storage any more." and "cannot be used now" in broken.problem


def test_a_missing_line_break_at_the_end_is_a_difference_of_its_own() -> None:
    assert signs(of(b"a\nb\n", b"a\nb")) == [" a", "-b", f"+b{NO_BREAK}"]
    assert signs(of(b"a\nb", b"a\nc")) == [" a", "-b", "+c"]
    assert signs(of(b"", b"a")) == [f"+a{NO_BREAK}"]


def test_other_line_breaks_are_a_difference() -> None:
    assert signs(of(b"a\r\nb\n", b"a\nb\n")) == ["-a\r", "+a", " b"]


def test_json_on_one_line_is_laid_out_where_both_are() -> None:
    one, other = (json.dumps({"depth": depth, "rest": [1, 2]}).encode() for depth in (3, 4))

    found = of(one, other, "params.json")

    assert [line for line in signs(found) if line[0] != " "] == ['-  "depth": 3,', '+  "depth": 4,']
    assert "laid out" in found.notes[0]
    assert "laid out" not in "".join(of(one, b'{"depth": 1, "depth": 2}', "params.json").notes)


def test_large_files_are_compared_as_far_as_they_are_read() -> None:
    rows = [f"row {number}".encode() for number in range(100_000)]
    inserted = [*rows[:50], b"new", *rows[50:]]
    assert len(b"\n".join(rows)) > 2 * MOST_BYTES

    found = of(b"\n".join(rows), b"\n".join(inserted), "rows.csv")

    assert [line for line in signs(found) if line[0] != " "] == ["+new"]
    assert found.notes == ("Only the first 256 KB of each are compared: what differs beyond is not shown.",)


def test_what_differs_beyond_what_is_read_is_not_called_the_same() -> None:
    head = b"x\n" * MOST_BYTES

    found = of(head + b"1", head + b"2", "rows.csv")

    assert found.hunks == () and len(found.notes) == 2 and "beyond" in found.notes[0]


def test_many_lines_and_long_ones_are_cut_and_it_says_so() -> None:
    lines = of(*("".join(f"{sign}{n}\n" for n in range(3000)).encode() for sign in "ab"), path="a.txt")
    long = of(*(f"{sign * 9000}\n".encode() for sign in "ab"), path="a.txt")
    both = of(*("".join(f"{sign * 2000} {n}\n" for n in range(60)).encode() for sign in "ab"), path="a.txt")

    assert len(signs(lines)) == MOST_LINES and "5,600 more lines are not shown" in lines.notes[-1]
    assert signs(long)[0] == f"-{'a' * LONGEST_LINE}… {9000 - LONGEST_LINE:,} more characters"
    assert sum(map(len, signs(both))) < 1.1 * MOST_CHARACTERS and "more lines are not shown" in both.notes[-1]


def test_long_lines_are_shown_from_where_they_differ() -> None:
    found = of(
        *(f"{'same ' * 9000}{end} and {'so on ' * 900}\n".encode() for end in ("first", "other")), path="vocabulary.txt"
    )

    old, new = signs(found)
    assert old.startswith("-44,500 characters, then …") and " first and so on" in old and " other and so on" in new
    assert old.endswith("more characters") and len(old) < LONGEST_LINE + 100


def test_signs_that_deceive_are_spelled_out() -> None:
    found = of(b"safe\n", "\x1b[31mred \u202egnp.exe\u200b\r\n".encode(), "a.txt")

    assert spelled_out(found.hunks[0][-1].text) == "⟨U+001B⟩[31mred ⟨U+202E⟩gnp.exe⟨U+200B⟩⟨U+000D⟩"


def test_which_names_promise_text() -> None:
    texts = ["MLmodel", "a/conda.yaml", "requirements.txt", "b.JSON", "LICENSE", ".env"]

    assert [
        path for path in [*texts, "model.pkl", "json", "a.txt/data.bin", "", "yaml/x"] if reads_as_text(path)
    ] == texts
