"""What the editor says of a text that is not in force: what is wrong with it, what it says, whom it touches, and what
it would make of versions and requests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from django.http import QueryDict

from accounts.models import User
from approvals.coverage import Named, judged_requests, matched_models, named_in
from approvals.models import Policy
from approvals.policy import Node, Problem, sentences
from approvals.policy import Policy as ReadPolicy
from approvals.queries import counts_up_to
from approvals.services.policies import UnreadablePolicy, checked_policy
from approvals.simulation import Effects, Replay, Subject, edits, effects, replay, simulate, target_of_draft
from core.errors import Invalid
from core.keyset import number_in
from registry.queries import get_version, target_named

FEW_MODELS = 5
MOST_TOUCHED = 1_000_000
SUGGESTED_MODELS = 25
PAGE_SIZE = 25


@dataclass(frozen=True, slots=True)
class Draft:
    """A text, and what it says or what is wrong with it."""

    text: str
    read: ReadPolicy | None
    problems: tuple[Problem, ...]

    @classmethod
    def of(cls, text: str, policy: Policy | None) -> Draft:
        """``policy``: the one that is edited, whose name stays."""
        try:
            read = checked_policy(text, published=policy.current.text if policy and policy.current else "")
        except UnreadablePolicy as error:
            return cls(text, None, tuple(Problem(**problem) for problem in error.problems))
        except Invalid as error:  # far too long: not even read
            return cls(text, None, (Problem(1, 1, error.message),))
        if policy and read.name != policy.name:
            message = f"The text names itself {read.name}: a policy keeps its name, {policy.name}."
            return cls(text, None, (Problem(_line_of_name(text), 1, message),))
        return cls(text, read, ())

    @property
    def trouble(self) -> str:
        """Everything that is wrong, as the sentence that refuses it."""
        return " ".join(map(str, self.problems))


def _line_of_name(text: str) -> int:
    found = re.search(r"^name\s*:", text, re.MULTILINE)
    return text.count("\n", 0, found.start()) + 1 if found else 1


@dataclass(frozen=True, slots=True)
class Touched:
    """Whom a text would touch if it were in force."""

    models: int
    names: list[str]
    open_requests: int
    named: Named

    @property
    def first(self) -> list[str]:
        return self.names[:FEW_MODELS]

    @property
    def more(self) -> int:
        return self.models - len(self.first)


def looked_at(draft: Draft, user: User) -> dict[str, Any]:
    """What is told while somebody types: nothing here judges a request."""
    if draft.read is None:
        return {"draft": draft}
    models, changes = matched_models(draft.read, user), edits(draft.read, draft.text)
    number = changes.revision.number + 1 if changes else 1
    open_requests = judged_requests(draft.read, user).pending()
    counts = counts_up_to(MOST_TOUCHED, user, models, open_requests)
    return {
        "draft": draft,
        "sentences": sentences(draft.read),
        "edits": changes,
        "taken": f"A policy is called {draft.read.name} already: this would be revision {number} of it.",
        "touched": Touched(
            models=counts[0],
            names=list(models.order_by("name").values_list("name", flat=True)[:SUGGESTED_MODELS]),
            open_requests=counts[1],
            named=named_in(draft.read),
        ),
    }


@dataclass(frozen=True, slots=True)
class Simulated:
    """Where a version would stand: ``groups`` are the policies with a say, each with its requirements."""

    title: str
    sentence: str
    is_satisfied: bool
    groups: tuple[Node, ...]


def simulated(read: ReadPolicy, text: str, *, user: User, asked: QueryDict) -> Simulated:
    """For the version that the form names. Raises Invalid or NotFound with a sentence for the page."""
    name, typed, target = (asked.get(field, "").strip() for field in ("model", "version", "target"))
    if not name or (number := number_in(typed, digits=9)) is None:
        raise Invalid("Name a model and the number of one of its versions.", field="version")
    version = get_version(user, name, number)
    wanted = target_named(target) if target else target_of_draft(read)
    verdict = simulate(read, text, asker=user, version=version, target=wanted).verdict
    groups = tuple(replace(node, children=node.children or (node,)) for node in verdict.policies)
    return Simulated(f"{name} version {number} → {wanted}", verdict.sentence, verdict.satisfied, groups)


@dataclass(frozen=True, slots=True)
class Turn:
    """A request that a text would change: what it was, what it would be, and why."""

    request: Subject
    was: str
    at: datetime | None
    would_be: str
    is_better: bool
    why: str
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Replayed:
    """The requests that would turn out otherwise, a page of them."""

    effects: Effects
    replay: Replay
    most: int
    rows: list[Turn]
    page: int
    pages: int
    changed: int

    @property
    def is_cut(self) -> bool:
        return self.effects.is_cut or self.replay.is_cut


def replayed(read: ReadPolicy, text: str, *, user: User, most: int, page: str) -> Replayed:
    """The open requests that would stand differently, then the decided ones, the newest first."""
    now, then = effects(read, text, user=user, most=most), replay(read, text, user=user, most=most)
    turns = list(_turns(now, then))
    pages = max(1, -(-len(turns) // PAGE_SIZE))
    number = min(number_in(page, digits=5) or 1, pages)
    rows = turns[(number - 1) * PAGE_SIZE : number * PAGE_SIZE]
    return Replayed(now, then, most, rows, number, pages, len(turns))


def _turns(now: Effects, then: Replay) -> Iterator[Turn]:
    for effect in now.changed:
        yield Turn(
            effect.request,
            was="All met" if effect.satisfied_before else "Open",
            at=None,
            would_be="All met" if effect.satisfied_after else "Open",
            is_better=effect.satisfied_after,
            why=effect.after if effect.after != effect.before else "",
            expires=effect.expires,
        )
    for outcome in then.stopped:
        subject = outcome.request
        yield Turn(subject, subject.get_state_display(), subject.closed_at, "Stopped", False, outcome.sentence)
    for outcome in then.satisfied:
        subject = outcome.request
        yield Turn(subject, subject.get_state_display(), subject.closed_at, "Let through", True, outcome.sentence)
