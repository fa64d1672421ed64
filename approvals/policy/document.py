"""What a policy is. How its text is read stands in ``reading``."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from approvals.policy import globs
from approvals.policy.source import Number

ENFORCEMENTS = ("block", "warn", "shadow")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DIRECT_CHANGES = ("refuse", "open_request", "allow_if_satisfied")
PARTS = ("artifacts", "evidence", "policy", "baseline")
STAGES = ("Staging", "Production")
BASELINES = ("production", "target", "none")
COMPARED_WITH = ("production", "target")
COMMITS = ("recorded", "clean")
SCAN = "scan"  # the name under which people vouch for files; no pipeline reports under it
# How a metric may differ from its baseline: (key, which way, which bound, whether in percent of the baseline).
CHANGES = {
    f"{bound}_{way}{'_percent' if percent else ''}": (way, bound, percent)
    for percent in (False, True)
    for bound in ("max", "min")
    for way in ("drop", "rise")
}


@dataclass(frozen=True, slots=True)
class Guard:
    """A stage, or every alias whose name fits a glob."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}"

    def covers(self, kind: str, name: str) -> bool:
        if self.kind != kind:
            return False
        return globs.matches(self.name, name) if kind == "alias" else self.name == name


@dataclass(frozen=True, slots=True)
class Match:
    """Which models a policy is about: a name that fits one of the globs, and every one of the tags."""

    models: tuple[str, ...]
    tags: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Change:
    """How far a metric may, or must, move away from its baseline in one direction."""

    way: str  # drop or rise
    bound: str  # max or min
    percent: bool
    size: Number


@dataclass(frozen=True, slots=True)
class MetricRule:
    name: str
    min: Number | None = None
    max: Number | None = None
    baseline: str = "none"
    changes: tuple[Change, ...] = ()
    dataset: str = ""

    @property
    def lower_is_better(self) -> bool | None:
        """As far as the rule tells: a floor and a limited drop want more, a ceiling and a limited rise want less. None
        where it asks for both."""
        wants_less = {(change.way == "rise") == (change.bound == "max") for change in self.changes}
        wants_less |= {bound is self.max for bound in (self.min, self.max) if bound is not None}
        return wants_less.pop() if len(wants_less) == 1 else None


@dataclass(frozen=True, slots=True)
class CheckRule:
    """A result reported from outside; it counts only from the one who is named here."""

    name: str
    reporter: str


@dataclass(frozen=True, slots=True)
class DescriptionRule:
    min_length: int


@dataclass(frozen=True, slots=True)
class SignatureRule:
    """Whoever calls the baseline can call the version in the same way."""

    compatible_with: str


@dataclass(frozen=True, slots=True)
class TagsRule:
    """Keys that the version's tags must have, each with a value."""

    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RunRule:
    """What the run behind the version must show. ``commit``: recorded, clean or nothing asked; ``evaluated_like``: the
    baseline whose evaluation datasets it must have been given."""

    finished: bool = False
    commit: str = ""
    datasets: bool = False
    evaluated_like: str = ""


@dataclass(frozen=True, slots=True)
class ScanRule:
    """Every file was read and does no harm. ``vouched_by``: the team of which one may say so of what could not be read,
    or empty."""

    vouched_by: str = ""


@dataclass(frozen=True, slots=True)
class ApprovalsRule:
    """``count`` different people; ``teams``: how many of them at least from each team."""

    count: int
    teams: tuple[tuple[str, int], ...] = ()


Requirement: TypeAlias = (
    MetricRule | CheckRule | DescriptionRule | SignatureRule | TagsRule | RunRule | ScanRule | ApprovalsRule
)


@dataclass(frozen=True, slots=True)
class Reviews:
    """``threads_resolved``: open threads stop it; ``expires_after``: how long a request may wait, None for ever;
    ``remind_after``: how often those who are awaited are told again, None for never."""

    author_may_approve: bool = False
    dismiss_on: frozenset[str] = frozenset(PARTS)
    threads_resolved: bool = False
    expires_after: timedelta | None = None
    remind_after: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Window:
    """A time in which nothing moves, once. In UTC; the end is out."""

    start: datetime
    end: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Weekly:
    """The same every week, by the clocks of a place. ``start`` and ``end`` since Monday 00:00; an end that is not after
    the start lies in the week that follows."""

    start: timedelta
    end: timedelta
    zone: str
    reason: str


@dataclass(frozen=True, slots=True)
class Bypass:
    """Who may carry a request out although not all is met: the members of teams, and people by name."""

    teams: tuple[str, ...] = ()
    people: tuple[str, ...] = ()

    def names(self, username: str, teams: Collection[str]) -> bool:
        return username in self.people or any(team in teams for team in self.teams)


Freeze: TypeAlias = Window | Weekly


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    match: Match
    guards: tuple[Guard, ...]
    requirements: tuple[Requirement, ...]
    description: str = ""
    enforcement: str = "block"
    reviews: Reviews = Reviews()
    on_direct_change: str = "refuse"
    archive_replaced: bool = True
    freeze: tuple[Freeze, ...] = ()
    bypass: Bypass = Bypass()

    def applies_to(self, model_name: str, tags: Mapping[str, str]) -> bool:
        """Whether this policy is about a model of this name with these tags."""
        if not any(globs.matches(pattern, model_name) for pattern in self.match.models):
            return False
        return all(key in tags and _same(tags[key], value) for key, value in self.match.tags)

    def guards_target(self, kind: str, name: str) -> bool:
        """Whether a ``stage`` or an ``alias`` of this name is guarded."""
        return any(guard.covers(kind, name) for guard in self.guards)

    @property
    def blocks(self) -> bool:
        return self.enforcement == "block"

    @property
    def tag_keys(self) -> frozenset[str]:
        """The tag keys that decide whether this policy applies; whoever may set them decides that too."""
        return frozenset(key for key, _ in self.match.tags)

    @property
    def checks(self) -> tuple[CheckRule, ...]:
        """The reports that it asks for."""
        return tuple(rule for rule in self.requirements if isinstance(rule, CheckRule))

    @property
    def reported(self) -> frozenset[str]:
        """The names of the reports that it looks at, vouching included."""
        return frozenset({rule.name for rule in self.checks} | ({SCAN} if self.vouchers else set()))

    @property
    def vouchers(self) -> tuple[str, ...]:
        """The teams that may vouch for files that could not be read."""
        rules = (rule for rule in self.requirements if isinstance(rule, ScanRule) and rule.vouched_by)
        return tuple(dict.fromkeys(rule.vouched_by for rule in rules))

    @property
    def teams(self) -> tuple[str, ...]:
        """The teams whose approval is asked for, each once."""
        rules = (rule for rule in self.requirements if isinstance(rule, ApprovalsRule))
        return tuple(dict.fromkeys(team for rule in rules for team, _ in rule.teams))


def _same(one: str, other: str) -> bool:
    return unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", other)
