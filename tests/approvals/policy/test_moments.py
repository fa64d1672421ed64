"""Freezes and schedules: what waits for time alone."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from approvals.policy import Node, Policy, PolicyError, Status, evaluate, parse, sentences
from approvals.policy.document import Freeze, Weekly, Window
from approvals.policy.moments import ends_between, frozen, leave_no_time, scheduled
from tests.approvals.policy.cast import ALICE as SOMEBODY
from tests.approvals.policy.cast import HEAD, approve, facts, policy

YEAR_END = "{from: 2026-12-20T00:00Z, until: 2027-01-04T08:00Z, reason: Year-end}"
WEEKEND = "{every: {from: Fri 16:00, until: Mon 08:00, zone: Europe/Berlin}, reason: Weekend}"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def freezing(*windows: str, requirement: str = "approvals: {count: 1}", more: str = "") -> Policy:
    return policy(requirement, more=f"freeze: [{', '.join(windows)}]\n{more}")


def end_of(windows: str, at: str) -> str | None:
    found = frozen(freezing(windows).freeze, moment(at))
    return found[0].strftime("%Y-%m-%dT%H:%M") if found else None


# -- When it lasts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("window", "at", "end"),
    [
        (YEAR_END, "2026-12-19T23:59:59", None),
        (YEAR_END, "2026-12-20T00:00", "2027-01-04T08:00"),
        (YEAR_END, "2027-01-04T07:59:59", "2027-01-04T08:00"),
        (YEAR_END, "2027-01-04T08:00", None),
        ("{from: 2026-12-20T00:00+02:00, until: 2026-12-20T00:00Z, reason: x}", "2026-12-19T22:00", "2026-12-20T00:00"),
        # Winter: Berlin is an hour ahead. 4 December 2026 is a Friday.
        (WEEKEND, "2026-12-04T14:59", None),
        (WEEKEND, "2026-12-04T15:00", "2026-12-07T07:00"),
        (WEEKEND, "2026-12-06T12:00", "2026-12-07T07:00"),
        (WEEKEND, "2026-12-07T06:59", "2026-12-07T07:00"),
        (WEEKEND, "2026-12-07T07:00", None),
        # Summer: two hours.
        (WEEKEND, "2026-07-03T13:59", None),
        (WEEKEND, "2026-07-03T14:00", "2026-07-06T06:00"),
        # The clocks change within it: it begins in one time and ends in the other.
        (WEEKEND, "2026-03-27T15:00", "2026-03-30T06:00"),
        (WEEKEND, "2026-10-23T14:00", "2026-10-26T07:00"),
        # An hour that never comes (29 March 2026, 02:00 to 03:00) makes it longer, not shorter.
        (
            "{every: {from: Sun 02:30, until: Sun 03:30, zone: Europe/Berlin}, reason: x}",
            "2026-03-29T00:30",
            "2026-03-29T01:30",
        ),
        (
            "{every: {from: Sun 01:00, until: Sun 02:30, zone: Europe/Berlin}, reason: x}",
            "2026-03-29T01:15",
            "2026-03-29T01:30",
        ),
        # An hour that comes twice (25 October 2026, 02:00 to 03:00) is in from its first minute to its last.
        (
            "{every: {from: Sun 02:00, until: Sun 02:30, zone: Europe/Berlin}, reason: x}",
            "2026-10-25T00:00",
            "2026-10-25T01:30",
        ),
        # Within one day, over the end of the week, without a zone, and where days end elsewhere.
        ("{every: {from: Tue 09:00, until: Tue 17:00}, reason: x}", "2026-12-01T16:59", "2026-12-01T17:00"),
        ("{every: {from: Tue 17:00, until: Tue 09:00}, reason: x}", "2026-12-01T16:59", None),
        ("{every: {from: Tue 17:00, until: Tue 09:00}, reason: x}", "2026-12-01T08:59", "2026-12-01T09:00"),
        (
            "{every: {from: Sun 23:00, until: Mon 01:00, zone: Pacific/Auckland}, reason: x}",
            "2026-12-06T10:00",
            "2026-12-06T12:00",
        ),
        # Windows that follow on each other are one.
        (f"{YEAR_END}, {WEEKEND}", "2026-12-18T15:00", "2027-01-04T08:00"),
        (
            f"{WEEKEND}, {{from: 2026-12-07T06:00Z, until: 2026-12-08T00:00Z, reason: x}}",
            "2026-12-05T00:00",
            "2026-12-08T00:00",
        ),
    ],
)  # fmt: skip
def test_a_freeze_lasts_until(window: str, at: str, end: str | None) -> None:
    assert end_of(window, at) == end


def test_the_reason_is_that_of_the_window_that_has_begun() -> None:
    found = frozen(freezing(YEAR_END, WEEKEND).freeze, moment("2026-12-18T15:00"))

    assert found and found[1] == "Weekend"


@pytest.mark.parametrize(
    ("since", "until", "ended"),
    [
        ("2026-12-07T06:55", "2026-12-07T06:59", False),
        ("2026-12-07T06:55", "2026-12-07T07:00", True),
        ("2026-12-07T06:59", "2026-12-07T07:04", True),
        ("2026-12-07T07:00", "2026-12-07T07:05", False),
        ("2027-01-04T07:59", "2027-01-04T08:01", True),
    ],
)
def test_the_end_of_a_window_is_noticed(since: str, until: str, ended: bool) -> None:
    assert ends_between(freezing(WEEKEND, YEAR_END).freeze, moment(since), moment(until)) is ended


MINUTES = st.integers(0, 7 * 24 * 60 - 1).map(lambda minutes: timedelta(minutes=minutes))
MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)).map(lambda naive: naive.replace(tzinfo=UTC))  # noqa: DTZ001
FREEZES = st.lists(
    st.builds(Weekly, MINUTES, MINUTES, st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Apia"]), st.just("Quiet"))
    | st.builds(lambda at, span: Window(at, at + span + timedelta(minutes=1), "Quiet"), MOMENTS, MINUTES),
    max_size=4,
).filter(lambda freezes: not leave_no_time(freezes))


@given(FREEZES, MOMENTS)
def test_at_its_end_a_freeze_is_over_and_not_a_moment_before(freezes: list[Freeze], at: datetime) -> None:
    found = frozen(freezes, at)

    if found:
        end, _ = found
        assert end > at and frozen(freezes, end) is None
        assert frozen(freezes, max(at, end - timedelta(seconds=1))) == (end, "Quiet")
        assert ends_between(freezes, end - timedelta(minutes=1), end)


def test_windows_that_follow_on_each_other_for_months_are_walked_through_quickly() -> None:
    """All week by Berlin's clocks but for an hour that New York's fill, while both are changed or neither is."""
    starts = [timedelta(minutes=minutes) for minutes in range(60, 7 * 24 * 60, 209)]
    berlin = [
        Weekly(start, end, "Europe/Berlin", "Q") for start, end in zip(starts, [*starts[1:], timedelta(0)], strict=True)
    ]
    freezes = [*berlin, Weekly(timedelta(days=6, hours=18), timedelta(days=6, hours=19), "America/New_York", "Q")]
    started = time.perf_counter()

    ends = {frozen(freezes, moment("2026-04-06T12:00") + hours * timedelta(hours=1)) for hours in range(20)}

    assert ends == {(moment("2026-10-25T23:00"), "Q")} and time.perf_counter() - started < 5


# -- What it does to a verdict -----------------------------------------------------------------------------------------


def the_freeze(verdict_of: Policy, **known: Any) -> Node | None:
    nodes = [node for node in evaluate(verdict_of, facts(**known)).requirements if node.kind == "freeze"]
    return nodes[0] if nodes else None


def test_within_a_window_everything_waits_until_its_end() -> None:
    verdict = evaluate(freezing(YEAR_END), facts(now=moment("2026-12-24T18:00"), reviews=(approve(SOMEBODY),)))

    assert not verdict.satisfied and verdict.waits_for_time
    assert verdict.sentence == "The one requirement is met; nothing moves until 4 January 2027 08:00 UTC: Year-end."
    assert verdict.unmet_sentences == ("freeze: Nothing moves until 4 January 2027 08:00 UTC: Year-end.",)
    assert verdict.counts == (1, 1) and verdict.people == ()


def test_outside_of_it_nothing_is_asked() -> None:
    verdict = evaluate(freezing(YEAR_END), facts(now=moment("2026-12-01T00:00"), reviews=(approve(SOMEBODY),)))

    assert verdict.satisfied and the_freeze(freezing(YEAR_END), now=moment("2026-12-01T00:00")) is None


def test_what_only_leaves_the_target_waits_too() -> None:
    node = the_freeze(freezing(YEAR_END), now=moment("2026-12-24T18:00"), leaving=True)

    assert node and node.status == Status.WAITING


def test_without_a_moment_nobody_can_tell() -> None:
    node = the_freeze(freezing(YEAR_END))

    assert node and node.status == Status.ERROR and not evaluate(freezing(YEAR_END), facts()).satisfied


def test_a_policy_that_only_warns_freezes_nothing() -> None:
    read = freezing(YEAR_END, more="enforcement: warn\n")

    assert evaluate(read, facts(now=moment("2026-12-24T18:00"))).satisfied


@given(FREEZES, MOMENTS, st.booleans())
def test_a_freeze_never_lets_anything_through(freezes: list[Freeze], at: datetime, approved: bool) -> None:
    plain = policy("approvals: {count: 1}")
    known = facts(now=at, reviews=(approve(SOMEBODY),) if approved else ())
    read = Policy(plain.name, plain.match, plain.guards, plain.requirements, freeze=tuple(freezes))

    assert evaluate(read, known).satisfied == (approved and frozen(freezes, at) is None)


@given(MOMENTS, MOMENTS)
def test_a_schedule_waits_exactly_until_its_moment(not_before: datetime, at: datetime) -> None:
    found = scheduled(not_before, at)

    assert (found is None) == (at >= not_before)
    assert found is None or (not found.satisfied and found.people == ())


# -- How it is written -------------------------------------------------------------------------------------------------


def test_freezes_are_told_in_plain_language() -> None:
    told = sentences(freezing(YEAR_END, WEEKEND))

    assert "Nothing moves from 20 December 2026 00:00 UTC until 4 January 2027 08:00 UTC: Year-end." in told
    assert "Nothing moves every week from Fri 16:00 until Mon 08:00 (Europe/Berlin): Weekend." in told


@pytest.mark.parametrize(
    ("window", "told"),
    [
        ("{from: 2026-12-20, until: 2027-01-04T08:00Z, reason: x}", "from must be a moment such as"),
        ("{from: 2026-12-20T00:00, until: 2027-01-04T08:00Z, reason: x}", "from must be a moment such as"),
        ("{from: 2026-13-20T00:00Z, until: 2027-01-04T08:00Z, reason: x}", "from must be a moment such as"),
        ("{from: 2026-12-20T00:00Z, until: 9999-12-31T23:59Z, reason: x}", "until must be a moment such as"),
        ("{from: 2027-12-20T00:00Z, until: 2027-01-04T08:00Z, reason: x}", "until must come after from"),
        ("{from: 2026-12-20T00:00Z, reason: x}", "needs from and until, or every"),
        ("{from: 2026-12-20T00:00Z, until: 2027-01-04T08:00Z}", "a freeze needs reason"),
        ("{from: 2026-12-20T00:00Z, until: 2027-01-04T08:00Z, reason: ''}", "reason must not be blank"),
        ("{from: 2026-12-20T00:00Z, til: 2027-01-04T08:00Z, reason: x}", "unknown key 'til'"),
        ("[a]", "a freeze must be a mapping"),
        ("{every: {from: Fri 16:00, until: Mon 08:00}, until: 2027-01-04T08:00Z, reason: x}", "stands inside every"),
        ("{every: {from: Friday 16:00, until: Mon 08:00}, reason: x}", "from must be a day and a time such as Fri 16"),
        ("{every: {from: Fri 24:00, until: Mon 08:00}, reason: x}", "from must be a day and a time"),
        ("{every: {from: Fri 16:00}, reason: x}", "every needs until"),
        ("{every: {from: Fri 16:00, until: Fri 16:00}, reason: x}", "nothing would ever move"),
        ("{every: {from: Fri 16:00, until: Mon 08:00, zone: Europe/Berln}, reason: x}", "did you mean Europe/Berlin?"),
        ("{every: {from: Fri 16:00, until: Mon 08:00, zone: ../../etc/passwd}, reason: x}", "there is no time zone"),
        (
            "{every: {from: Mon 00:00, until: Thu 12:00}, reason: x}, "
            "{every: {from: Thu 11:00, until: Mon 00:00}, reason: x}",
            "leave no time in the week",
        ),
        (", ".join([YEAR_END] * 51), "at most 50 windows, this has 51"),
    ],
)  # fmt: skip
def test_a_window_that_cannot_be_is_refused_with_its_line(window: str, told: str) -> None:
    with pytest.raises(PolicyError, match=told) as caught:
        parse(f"{HEAD}requirements: [approvals: {{count: 1}}]\nfreeze: [{window}]\n")

    assert {problem.line for problem in caught.value.errors} == {5}
