"""What a policy is asked about: everything that is known of one version and one target, as plain values.

Whoever gathers the facts says nothing about the outcome; whoever judges them reads nothing else.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Any


class ReviewVerdict(enum.StrEnum):
    APPROVE = "approve"
    REQUEST_CHANGES = "request_changes"
    REJECT = "reject"


class CheckStatus(enum.StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"  # the check itself could not be carried out


class Holder(enum.Enum):
    """Stands in for a baseline that nobody has looked up: a comparison with it is an error, never met."""

    UNREAD = "unread"


UNREAD = Holder.UNREAD
_EMPTY: Mapping[Any, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric's last value and, where it is known, the dataset it was measured on."""

    value: float
    dataset: str = ""


@dataclass(frozen=True, slots=True)
class Dataset:
    """What a run was given: ``context`` says what for, as the client wrote it (training, evaluation, …)."""

    name: str
    digest: str
    context: str = ""


@dataclass(frozen=True, slots=True)
class RunFact:
    """The run that a version came from. ``status`` is MLflow's word, empty where nobody knows; ``dirty`` says whether
    its working copy held changes beside the commit, None where the client did not say."""

    status: str = ""
    commit: str = ""
    dirty: bool | None = None
    datasets: tuple[Dataset, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """A version to compare with. ``breaks``: what makes its callers fail with the version in question, as clauses."""

    version: int
    metrics: Mapping[str, Metric]
    has_signature: bool = False
    breaks: tuple[str, ...] = ()
    datasets: tuple[Dataset, ...] = ()


@dataclass(frozen=True, slots=True)
class ReviewFact:
    """A person's verdict. ``counts`` is False, with the reason, when something outside the policy voids it."""

    person: int
    display: str
    verdict: str  # a ReviewVerdict; anything unknown is taken for an objection
    teams: frozenset[str] = frozenset()
    counts: bool = True
    why_not: str = ""


@dataclass(frozen=True, slots=True)
class CheckFact:
    """A result that somebody reported. ``digest_matches`` says whether it is about the bytes that are asked for;
    ``person`` is who reported it, None where that is a service account."""

    name: str
    reporter: str
    status: str  # a CheckStatus; anything unknown is an error
    digest_matches: bool
    figure: str = ""
    link: str = ""
    person: int | None = None


@dataclass(frozen=True, slots=True)
class ScanFact:
    """What a static reading said of the files: how many there are and how many are still to be read, what is unsafe,
    and what a person must look at, as sentences."""

    files: int
    pending: int = 0
    unsafe: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """``target`` and ``from_stage`` are names to show; ``target_kind`` is ``stage`` or ``alias``.

    ``leaving``: the version is only moved out of the guarded target; evidence is not asked for then, reviews are.
    ``baseline``: who holds the target now, None when nobody does. ``production``: the same for the stage Production;
    needed only when a rule compares with Production and the target is another one.
    ``reviews``: in the order they were given; a person's last one counts. ``authors``: the people who asked for,
    registered or trained the version; the requester is one of them in any case.
    ``tags`` are those of the version; ``run`` is None when no run is known.
    ``open_threads``: how many threads are not resolved, None where nobody looked; ``thread_resolvers`` can.
    ``scan`` is None where the files lie elsewhere.
    ``team_members``: of each team the policy names, person -> name to show. ``reviewers``: whoever else may review.
    ``now``: the moment that is judged, in UTC.
    """

    model_name: str
    version: int
    target: str
    requester: int
    requester_name: str = ""
    target_kind: str = "stage"
    from_stage: str = ""
    leaving: bool = False
    model_tags: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    has_signature: bool = False
    run: RunFact | None = None
    metrics: Mapping[str, Metric] = field(default_factory=lambda: _EMPTY)
    baseline: Baseline | None = None
    production: Baseline | Holder | None = UNREAD
    reviews: tuple[ReviewFact, ...] = ()
    authors: frozenset[int] = frozenset()
    team_members: Mapping[str, Mapping[int, str]] = field(default_factory=lambda: _EMPTY)
    reviewers: Mapping[int, str] = field(default_factory=lambda: _EMPTY)
    checks: tuple[CheckFact, ...] = ()
    scan: ScanFact | None = None
    open_threads: int | None = None
    thread_resolvers: Mapping[int, str] = field(default_factory=lambda: _EMPTY)
    now: datetime | None = None

    @property
    def target_words(self) -> str:
        """The target as people write it: ``Production``, ``@champion``."""
        return self.target if self.target_kind == "stage" else f"@{self.target}"
