from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import matches


@pytest.mark.parametrize(
    ("pattern", "name", "expected"),
    [
        ("churn-*", "churn-predictor", True),
        ("churn-*", "churn-", True),
        ("churn-*", "churn", False),
        ("churn-*", "xchurn-predictor", False),
        ("churn-*", "Churn-predictor", False),
        ("*", "", True),
        ("*", "anything", True),
        ("", "", True),
        ("", "x", False),
        ("?", "", False),
        ("?", "x", True),
        ("fraud-?", "fraud-12", False),
        ("*-prod", "a-prod-prod", True),
        ("*a*b*c", "xxaxxbxxc", True),
        ("*a*b*c", "xxaxxbxx", False),
        ("**", "x", True),
        ("a.c", "abc", False),
        ("[ab]", "a", False),
        ("[ab]", "[ab]", True),
        ("caf\u00e9-*", "cafe\u0301-model", True),
    ],
)
def test_star_is_any_run_and_question_mark_is_one_character(pattern: str, name: str, expected: bool) -> None:
    assert matches(pattern, name) is expected


def test_a_hostile_pattern_costs_no_time() -> None:
    started = time.perf_counter()

    assert not matches("*a" * 128, "a" * 100_000 + "b")
    assert not matches("*" * 255 + "b", "a" * 100_000)
    assert not matches("*?" * 100 + "b", "a" * 10_000)

    assert time.perf_counter() - started < 5


@given(st.text("ab?*", max_size=8), st.text("ab", max_size=8))
def test_a_pattern_means_what_its_plain_definition_says(pattern: str, name: str) -> None:
    def by_definition(pattern: str, name: str) -> bool:
        if not pattern:
            return not name
        if pattern[0] == "*":
            return any(by_definition(pattern[1:], name[skipped:]) for skipped in range(len(name) + 1))
        return bool(name) and pattern[0] in ("?", name[0]) and by_definition(pattern[1:], name[1:])

    assert matches(pattern, name) is by_definition(pattern, name)
