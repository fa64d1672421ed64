"""Moments that a change waits for: a schedule of its own, the end of a freeze. Time clears them, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from approvals.policy.document import Freeze, Policy, Weekly, Window
from approvals.policy.facts import Facts
from approvals.policy.verdict import Node, Status, Verdict
from approvals.policy.wording import moment

Span = tuple[datetime, datetime]
_WEEK = timedelta(days=7)
_SOME_MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
_ENDLESS = timedelta(days=400)  # of windows that return every week: over a change of clocks in both directions


def scheduled(not_before: datetime, now: datetime) -> Verdict | None:
    """What a request waits for that names the moment of its carrying out; None once that has come."""
    if now >= not_before:
        return None
    reason = f"It is carried out not before {moment(not_before, beside=now)}."
    return Verdict(Node(kind="schedule", title="schedule", status=Status.WAITING, reason=reason))


def judge_freeze(policy: Policy, facts: Facts) -> Node | None:
    """A point of the checklist while a freeze lasts; outside of it nothing is asked."""
    if not policy.freeze:
        return None
    if facts.now is None:
        return Node(kind="freeze", title="freeze", status=Status.ERROR, reason="Nobody said what time it is.")
    found = frozen(policy.freeze, facts.now)
    if found is None:
        return None
    end, reason = found
    told = f"Nothing moves until {moment(end, beside=facts.now)}: {reason.rstrip('.')}."
    return Node(kind="freeze", title="freeze", status=Status.WAITING, reason=told)


def frozen(freezes: Sequence[Freeze], at: datetime) -> tuple[datetime, str] | None:
    """Until when nothing moves and why, if ``at`` lies in a window. Windows that follow on each other are one."""
    end, reason = at, ""
    while later := _lasting(tuple(freezes), end):
        end, last = max(later)
        reason = reason or last
    return (end, reason) if reason else None


def ends_between(freezes: Sequence[Freeze], since: datetime, until: datetime) -> bool:
    """Whether a window ended after ``since`` and by ``until``, which are less than a week apart."""
    return any(since < end <= until for freeze in freezes for _, end in _around(freeze, until))


def begins_between(freezes: Sequence[Freeze], since: datetime, until: datetime) -> bool:
    """The same of its beginning."""
    return any(since < begin <= until for freeze in freezes for begin, _ in _around(freeze, until))


def leave_no_time(freezes: Sequence[Freeze]) -> bool:
    """Whether the windows that return every week follow on each other for ever."""
    weekly = tuple(freeze for freeze in freezes if isinstance(freeze, Weekly))
    end = _SOME_MONDAY
    while end < _SOME_MONDAY + _ENDLESS:
        later = _lasting(weekly, end)
        if not later:
            return False
        end, _ = max(later)
    return True


def _lasting(freezes: tuple[Freeze, ...], at: datetime) -> list[tuple[datetime, str]]:
    """Until when and why, of each window that ``at`` lies in."""
    return [
        (end, reason) for start, end, reason in _windows_of(freezes, at.astimezone(UTC).date()) if start <= at < end
    ]


@lru_cache(maxsize=2048)  # windows that follow on each other for months are walked through at every look
def _windows_of(freezes: tuple[Freeze, ...], day: date) -> tuple[tuple[datetime, datetime, str], ...]:
    """Those that touch the day, by UTC."""
    begin = datetime.combine(day, time(), UTC)
    spans = ((span, freeze.reason) for freeze in freezes for span in _around(freeze, begin))
    return tuple(
        (start, end, reason) for (start, end), reason in spans if start < begin + timedelta(days=1) and begin < end
    )


def _around(freeze: Freeze, at: datetime) -> Iterator[Span]:
    """The window, or the occurrences of it in the weeks about ``at``."""
    if isinstance(freeze, Window):
        yield freeze.start, freeze.end
        return
    zone = ZoneInfo(freeze.zone)
    today = at.astimezone(zone).date()
    monday = today - timedelta(days=today.weekday())
    for weeks in (-1, 0, 1):
        first = datetime.combine(monday, time()) + weeks * _WEEK
        ends = freeze.end if freeze.end > freeze.start else freeze.end + _WEEK
        yield min(_instants(first + freeze.start, zone)), max(_instants(first + ends, zone))


def _instants(wall: datetime, zone: ZoneInfo) -> list[datetime]:
    """What a clock on the wall may mean where clocks are changed: an hour that comes twice, or never. A freeze takes
    the longer one."""
    return [wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1)]
