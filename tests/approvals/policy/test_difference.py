"""How two texts of a policy differ."""

from __future__ import annotations

import difflib

from hypothesis import given
from hypothesis import strategies as st

from approvals.policy.difference import difference
from core.line_diff import CONTEXT
from tests.approvals.policy.test_document import FULL

STRICTER = FULL.replace("min: 0.90", "min: 0.95").replace("archive_replaced: false\n", "")


def test_each_line_has_its_numbers_and_its_sign() -> None:
    [first, second] = difference("a\nb\nc\n" + "x\n" * 9 + "y\n", "a\nB\nc\n" + "x\n" * 9 + "y\nz\n").hunks

    assert [(line.sign, line.old, line.new, line.text) for line in first][:3] == [
        (" ", 1, 1, "a"),
        ("-", 2, None, "b"),
        ("+", None, 2, "B"),
    ]
    assert [(line.sign, line.old, line.new) for line in second][-2:] == [(" ", 13, 13), ("+", None, 14)]


def test_sentences_come_and_go_with_what_they_say() -> None:
    found = difference(FULL, STRICTER)

    assert found.gone == (
        "accuracy must be at least 0.90.",
        "The version that is replaced in a stage stays there unless the request says to archive it.",
    )
    assert found.added == ("accuracy must be at least 0.95.", "The version that is replaced in a stage is archived.")


def test_a_comment_changes_lines_and_says_nothing() -> None:
    found = difference(FULL, f"# Why: see the handbook.\n{FULL}")

    assert (found.gone, found.added) == ((), ())
    assert [line.text for hunk in found.hunks for line in hunk if line.sign == "+"] == ["# Why: see the handbook."]


def test_a_text_that_cannot_be_read_says_nothing() -> None:
    found = difference("name: [", FULL)

    assert found.gone == () and "accuracy must be at least 0.90." in found.added


def test_the_same_text_differs_in_nothing() -> None:
    assert difference(FULL, FULL).hunks == () and difference(FULL, FULL).unified == ""


@given(st.lists(st.sampled_from("abc"), max_size=12), st.lists(st.sampled_from("abc"), max_size=12))
def test_it_is_written_as_diff_writes_it(old: list[str], new: list[str]) -> None:
    before, after = ("".join(f"{line}\n" for line in lines) for lines in (old, new))

    # Without the two lines of names; a range of one line is written without its length there.
    expected = list(difflib.unified_diff(before.splitlines(), after.splitlines(), n=CONTEXT, lineterm=""))[2:]

    told = difference(before, after).unified.splitlines()
    assert [line for line in told if line[0] != "@"] == [line for line in expected if line[0] != "@"]
    assert len(told) == len(expected)
