"""Line by line, with a bound on the work."""

from __future__ import annotations

import random
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.line_diff import CONTEXT, LONG, Line, LineDiff, line_diff, lines_of


def signs(found: LineDiff) -> list[str]:
    return [f"{line.sign}{line.text}" for hunk in found.hunks for line in hunk]


def shown(found: LineDiff) -> list[Line]:
    return [line for hunk in found.hunks for line in hunk]


def test_what_follows_the_last_line_break_is_no_line() -> None:
    assert [lines_of(text) for text in ("", "a", "a\n", "a\n\n", "a\r\nb")] == [
        [], ["a"], ["a"], ["a", ""], ["a\r", "b"],
    ]  # fmt: skip


def test_a_change_deep_in_a_long_text_has_the_numbers_of_its_lines() -> None:
    before = [f"line {number}" for number in range(1, 50_001)]
    after = [*before[:30_000], "new", *before[30_001:]]

    found = line_diff(before, after)

    assert not found.is_rough and len(shown(found)) == 2 * CONTEXT + 2
    assert (Line("line 30001", 30_001, None), Line("new", None, 30_001)) == tuple(
        line for line in shown(found) if line.sign != " "
    )


@given(
    st.lists(st.sampled_from("abc"), max_size=30),
    st.lists(st.sampled_from("abc"), max_size=30),
    st.sampled_from([0, LONG]),
)
def test_the_lines_that_are_gone_and_added_lead_from_one_text_to_the_other(
    old: list[str], new: list[str], around: int
) -> None:
    before, after = (["same"] * around + lines + ["end"] * around for lines in (old, new))

    found = shown(line_diff(before, after))

    assert all(before[line.old - 1] == line.text for line in found if line.old is not None)
    assert all(after[line.new - 1] == line.text for line in found if line.new is not None)
    gone = {line.old for line in found if line.sign == "-"}
    added = {line.new: line.text for line in found if line.sign == "+"}
    kept = [text for at, text in enumerate(before, 1) if at not in gone]
    rest = iter(kept)
    rebuilt = [added[at] if at in added else next(rest) for at in range(1, len(after) + 1)]
    assert rebuilt == after and not list(rest)


@pytest.mark.parametrize("kinds", [2, 40, 1999, 10**9])
def test_texts_that_are_made_to_take_long_do_not(kinds: int) -> None:
    dice = random.Random(1)
    before, after = ([str(dice.randrange(kinds)) for _ in range(60_000)] for _ in range(2))

    began = time.perf_counter()
    found = line_diff(before, after)

    assert time.perf_counter() - began < 5
    assert {line.sign for line in shown(found)} >= {"-", "+"}


def test_when_the_work_runs_out_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("core.line_diff.MOST_WORK", 5)

    found = line_diff(["a", "b", "c", "d"], ["b", "x", "d"])

    assert found.is_rough and signs(found) == ["-a", "-b", "-c", "-d", "+b", "+x", "+d"]


def test_what_may_stand_beyond_the_end_of_a_beginning_is_left_out() -> None:
    before, after = ["a", "b", "c", "d"], ["new", "a", "b", "c"]

    assert signs(line_diff(before, after)) == ["+new", " a", " b", " c", "-d"]
    assert signs(line_diff(before, after, before_goes_on=True)) == ["+new", " a", " b", " c", "-d"]
    assert signs(line_diff(before, after, after_goes_on=True)) == ["+new", " a", " b", " c"]
    assert signs(line_diff(after, before, before_goes_on=True)) == ["-new", " a", " b", " c"]
