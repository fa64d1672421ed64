"""Policies in plain language: the reading beside the text, and the titles of the checklist."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction

from approvals.policy.document import (
    DAYS,
    ApprovalsRule,
    Change,
    CheckRule,
    DescriptionRule,
    Freeze,
    Guard,
    MetricRule,
    Policy,
    Requirement,
    RunRule,
    ScanRule,
    SignatureRule,
    TagsRule,
    Window,
)
from approvals.policy.source import exact, listed
from core.formatting import decimals_of

_BASELINE_WORDS = {"production": "the version in Production", "target": "the version that it replaces"}
_BASELINE_TITLES = {"production": "Production", "target": "the current holder"}
_MOST_NAMES = 6
_LONG = 10**15  # numbers from here on are shown as powers of ten
_SMALL = 0.01  # numbers below are shown by their first digits
_LARGEST = Fraction(sys.float_info.max)
_NOT_FINITE = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_PARTS = {
    "artifacts": "the files",
    "evidence": "the metrics, parameters or tags of the run",
    "policy": "the policy",
    "baseline": "the version that holds the target",
}
_DIRECT = {
    "refuse": "A direct move is refused.",
    "open_request": "A direct move is refused, and opens a request instead.",
    "allow_if_satisfied": "A direct move goes through when every requirement is met already.",
}
_ENFORCEMENT = {
    "block": "Nothing gets there until every requirement is met.",
    "warn": "It only warns: a change goes through and leaves an event that names what was not met.",
    "shadow": "It is on trial: it is evaluated, and stops or warns nobody.",
}


def sentences(policy: Policy) -> list[str]:
    """What the policy says, one sentence for each part, in the order in which a reader asks."""
    lines = [_applies_to(policy), f"Guards {listed(map(_guard, policy.guards))}.", _ENFORCEMENT[policy.enforcement]]
    lines += [_capital(f"{_requirement(rule)}.") for rule in policy.requirements]
    if policy.reviews.author_may_approve:
        lines.append("Whoever asked for, registered or trained the version may approve it too.")
    else:
        lines.append("Nobody approves a version that they asked for, registered or trained.")
    lines.append(_dismissal(policy.reviews.dismiss_on))
    if policy.reviews.threads_resolved:
        lines.append("Every thread of comments on the request, or on its version, must be resolved.")
    if policy.reviews.expires_after:
        lines.append(f"A request that is not decided within {span(policy.reviews.expires_after)} expires.")
    if policy.reviews.remind_after:
        lines.append(f"Whoever is awaited is told again every {span(policy.reviews.remind_after).removeprefix('1 ')}.")
    lines += [f"{_freeze(freeze)}: {freeze.reason.rstrip('.')}." for freeze in policy.freeze]
    if named := [*policy.bypass.people, *(f"anybody in the team {team}" for team in policy.bypass.teams)]:
        lines.append(
            f"A request may be bypassed by {listed(named, 'or')}, for a reason that everybody involved is told."
        )
    lines.append(_DIRECT[policy.on_direct_change])
    if policy.archive_replaced:
        lines.append("The version that is replaced in a stage is archived.")
    else:
        lines.append("The version that is replaced in a stage stays there unless the request says to archive it.")
    return lines


def title(rule: Requirement) -> str:
    """A requirement in the few words of a checklist."""
    match rule:
        case MetricRule():
            return f"{rule.name} {needed(rule)}"
        case CheckRule():
            return rule.name
        case DescriptionRule():
            return f"description of at least {amount(rule.min_length, 'character')}"
        case SignatureRule():
            return f"signature compatible with {_BASELINE_TITLES[rule.compatible_with]}"
        case TagsRule():
            return tags(rule.keys)
        case RunRule():
            return f"run {listed(_run(rule))}"
        case ScanRule():
            return "files without unknown pickles"
        case ApprovalsRule():
            return approvals(rule)


def tags(keys: Sequence[str]) -> str:
    """``tag owner``, or ``tags owner and purpose``."""
    return f"{'tag' if len(keys) == 1 else 'tags'} {listed(keys)}"


def needed(rule: MetricRule) -> str:
    """The pass marks of a metric: ``≥ 0.90 on test``."""
    parts = [f"{sign} {limit.text}" for sign, limit in (("≥", rule.min), ("≤", rule.max)) if limit is not None]
    parts += [_mark(change) for change in rule.changes]
    against = f" against {_BASELINE_TITLES[rule.baseline]}" if rule.changes else ""
    where = f" on {rule.dataset}" if rule.dataset else ""
    return f"{listed(parts)}{against}{where}"


def approvals(rule: ApprovalsRule) -> str:
    """``2 approvals: at least one from risk and one from ml-leads``."""
    text = amount(rule.count, "approval")
    if not rule.teams:
        return text
    teams = listed(f"{small(number)} from {team}" for team, number in rule.teams)
    only_team = len(rule.teams) == 1 and rule.teams[0][1] == rule.count
    return f"{text} from {rule.teams[0][0]}" if only_team else f"{text}: at least {teams}"


def amount(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def people(names: Iterable[str], conjunction: str = "or") -> str:
    """Names in a sentence: a handful, and how many more."""
    found = list(names)
    if len(found) > _MOST_NAMES:
        found = [*found[: _MOST_NAMES - 1], f"{len(found) - _MOST_NAMES + 1} more"]
    return listed(found, conjunction)


def span(time: timedelta) -> str:
    """``12 hours``, ``14 days``."""
    hours = time // timedelta(hours=1)
    return amount(hours // 24, "day") if hours % 24 == 0 else amount(hours, "hour")


def moment(at: datetime, *, beside: datetime | None = None) -> str:
    """``3 May 2026 14:00 UTC``, without the year where it is that of ``beside``. Both in UTC."""
    year = "" if beside and at.year == beside.year else f" {at.year}"
    return f"{at.day} {at:%B}{year} {at:%H:%M} UTC"


def small(number: int) -> str:
    return _NUMBERS[number] if number < len(_NUMBERS) else str(number)


def figure(value: float | Fraction, *, beside: Iterable[Fraction] = ()) -> str:
    """A number for people, rounded only as far as it stays on its side of the numbers that it is compared with."""
    if isinstance(value, Fraction) and abs(value) > _LARGEST:
        return f"{'-' if value < 0 else ''}{sys.float_info.max:.6g}"
    number = float(value)
    if not math.isfinite(number):
        return _NOT_FINITE[str(number)]
    if number.is_integer() and abs(number) < _LONG:
        return str(int(number))
    true, marks = exact(number), tuple(beside)
    for more in range(17):
        shown = _rounded(number, more)
        if all((Fraction(shown) > mark, Fraction(shown) < mark) == (true > mark, true < mark) for mark in marks):
            return shown
    return repr(number)


def _rounded(number: float, more: int) -> str:
    """As the tables of metrics round, with ``more`` digits than that, and without zeros at the end."""
    if abs(number) >= _LONG:
        return f"{number:.{6 + more}g}"
    if abs(number) < _SMALL:
        return f"{number:.{3 + more}g}"
    return f"{number:.{decimals_of(number) + more}f}".rstrip("0").rstrip(".")


def _freeze(freeze: Freeze) -> str:
    if isinstance(freeze, Window):
        return f"Nothing moves from {moment(freeze.start)} until {moment(freeze.end)}"
    return f"Nothing moves every week from {_weekly(freeze.start)} until {_weekly(freeze.end)} ({freeze.zone})"


def _weekly(since: timedelta) -> str:
    """``Fri 16:00``."""
    minutes = since.seconds // 60
    return f"{DAYS[since.days]} {minutes // 60:02}:{minutes % 60:02}"


def _applies_to(policy: Policy) -> str:
    patterns = policy.match.models
    exact = [pattern for pattern in patterns if "*" not in pattern and "?" not in pattern]
    if any(pattern.strip("*") == "" for pattern in patterns):
        who = "every model"
    elif len(exact) == len(patterns):
        who = f"the model{'s' if len(exact) > 1 else ''} {listed(patterns)}"
    else:
        who = f"models named {listed(patterns, 'or')}"
    tags = listed(f"{key} is {value}" for key, value in policy.match.tags)
    return f"Applies to {who}{f' whose tag {tags}' if tags else ''}."


def _guard(guard: Guard) -> str:
    if guard.kind == "stage":
        return f"the stage {guard.name}"
    if guard.name.strip("*") == "":
        return "every alias"
    return f"the aliases {guard.name}" if "*" in guard.name or "?" in guard.name else f"the alias {guard.name}"


def _requirement(rule: Requirement) -> str:
    match rule:
        case MetricRule():
            return _metric(rule)
        case CheckRule():
            return f"the check {rule.name} must pass, as reported by {rule.reporter}"
        case DescriptionRule():
            return f"the version's description must have at least {amount(rule.min_length, 'character')}"
        case SignatureRule():
            return f"the signature must let callers of {_BASELINE_WORDS[rule.compatible_with]} go on as they do"
        case TagsRule():
            return f"the version must have the {tags(rule.keys)}"
        case RunRule():
            return f"the version's run must be one that is {listed(_run(rule))}"
        case ScanRule():
            scan = "the version's files must hold no pickle that imports what is not known"
            return f"{scan}, or somebody of {rule.vouched_by} must have looked at it" if rule.vouched_by else scan
        case ApprovalsRule():
            return approvals(rule)


def _run(rule: RunRule) -> list[str]:
    """What it must be: ``finished``, ``from a clean commit``, …"""
    parts = {
        "finished": rule.finished,
        f"from a {rule.commit} commit": rule.commit,
        "on datasets with digests": rule.datasets,
        f"evaluated on the datasets of {_BASELINE_TITLES.get(rule.evaluated_like, '')}": rule.evaluated_like,
    }
    return [words for words, asked in parts.items() if asked]


def _metric(rule: MetricRule) -> str:
    parts = []
    if rule.min is not None:
        parts.append(f"be at least {rule.min.text}")
    if rule.max is not None:
        parts.append(f"be at most {rule.max.text}")
    if rule.changes:
        against = _BASELINE_WORDS[rule.baseline]
        parts.append(f"{listed(map(obligation, rule.changes))} against {against}")
    where = f", measured on {rule.dataset}" if rule.dataset else ""
    return f"{rule.name} must {listed(parts)}{where}"


def obligation(change: Change) -> str:
    """What the metric must do, after "must"."""
    verb = "rise" if change.way == "rise" else "fall"
    if change.bound == "min":
        return f"{verb} by at least {size(change)}"
    return f"not {verb} by more than {size(change)}" if change.size.value else f"not {verb}"


def _mark(change: Change) -> str:
    if change.bound == "max" and change.size.value == 0:
        return f"no {change.way}"
    return f"{change.way} {'≤' if change.bound == 'max' else '≥'} {size(change)}"


def size(change: Change) -> str:
    return f"{change.size.text} %" if change.percent else change.size.text


def _dismissal(parts: frozenset[str]) -> str:
    if not parts:
        return "An approval stays, whatever changes after it."
    changed = [words for part, words in _PARTS.items() if part in parts]
    return f"An approval no longer counts once any of these changes: {listed(changed, 'or')}."


def _capital(text: str) -> str:
    """Sentences begin with a capital, but the names of metrics are written as they are."""
    return text[0].upper() + text[1:] if text.startswith(("the ", "nobody ")) else text
