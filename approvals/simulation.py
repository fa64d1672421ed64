"""What a policy text would make of a version and of the requests that are open, and what it would have made of those
that were decided. Nothing is written."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import NamedTuple

from django.urls import reverse

from accounts.models import User
from accounts.permissions import read_grants
from approvals import facts
from approvals.facts import Known, Question, given_up
from approvals.models import Check, Comment, PolicyRevision, Review, TransitionRequest
from approvals.pins import Pins
from approvals.policy import Policy as ReadPolicy
from approvals.policy.difference import Difference, difference
from approvals.rulebook import Rule, Rulebook
from approvals.standing import Standing, answer, standings_of
from core.errors import Invalid
from core.prepared import Prepared
from registry.gate import Target
from registry.models import ModelVersion, RegisteredModel, Stage, StageHolding, TargetKind

MOST_REQUESTS = MOST_REPLAYED = 10_000
SOON = 1_000  # as many requests as nobody waits for: a second or two
CHUNK = 500
State = TransitionRequest.State
_DECIDED = (State.APPLIED, State.EXPIRED, State.WITHDRAWN)
_BASELINES = ("baseline", "compatible_with", "evaluated_like")  # where rules name what they compare with


@dataclass(frozen=True, slots=True)
class Edits:
    """How a text differs from the newest revision of its policy."""

    revision: PolicyRevision
    difference: Difference


@dataclass(frozen=True, slots=True)
class Subject:
    """The request that is spoken of, without the rows behind it: thousands are held at once."""

    pk: int
    model: str
    version: int
    target: Target
    state: str
    closed_at: datetime | None

    @classmethod
    def of(cls, row: TransitionRequest) -> Subject:
        return cls(row.pk, row.version.model.name, row.version.version, row.asks_for, row.state, row.closed_at)

    def __str__(self) -> str:
        return f"{self.model} version {self.version} → {self.target}"

    def get_absolute_url(self) -> str:
        return reverse("request", args=[self.pk])

    def get_state_display(self) -> str:
        return str(State(self.state).label)


@dataclass(frozen=True, slots=True)
class Effect:
    """An open request, where it stands and where it would. ``expires``: when it would end by itself, where that is not
    what it is now."""

    request: Subject
    before: str
    after: str
    satisfied_before: bool
    satisfied_after: bool
    expires: datetime | None

    @classmethod
    def of(cls, row: TransitionRequest, before: Standing, after: Standing) -> Effect:
        ended, ends = (standing.expiry[0] if standing.expiry else None for standing in (before, after))
        return cls(
            request=Subject.of(row),
            before=before.verdict.sentence,
            after=after.verdict.sentence,
            satisfied_before=before.is_satisfied,
            satisfied_after=after.is_satisfied,
            expires=ends if ends != ended else None,
        )

    @property
    def is_one(self) -> bool:
        moved = (self.before, self.satisfied_before) != (self.after, self.satisfied_after)
        return moved or self.expires is not None


@dataclass(frozen=True, slots=True)
class Effects:
    """``looked_at`` of the open requests, the oldest first; ``is_cut``: there are more."""

    looked_at: int
    is_cut: bool
    changed: list[Effect]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A decided request, and where it would have stood."""

    request: Subject
    sentence: str


@dataclass(frozen=True, slots=True)
class Replay:
    """Of the newest decisions that the text has a say in: ``moves`` were made by a request, and it would not have let
    those in ``stopped`` through; ``unmade`` ended without one, though those in ``satisfied`` had all that it asks. The
    newest are first. ``is_cut``: there are older decisions."""

    moves: int
    stopped: list[Outcome]
    unmade: int
    satisfied: list[Outcome]
    is_cut: bool


def with_draft(read: ReadPolicy, text: str) -> Rulebook:
    """The policies in force, with the draft in the place of the one that has its name."""
    in_force = Rulebook.load()
    if any((rule.name, rule.revision.text) == (read.name, text) for rule in in_force.rules):
        return in_force  # to publish it again changes nothing
    draft = Rule(revision=PolicyRevision(pk=0, text=text), name=read.name, read=read)
    others = (rule for rule in in_force.rules if rule.name != read.name)
    return Rulebook(tuple(sorted((*others, draft), key=lambda rule: rule.name)))


_NEWEST = Prepared(
    lambda name: PolicyRevision.objects.filter(policy__name=name).select_related("policy").order_by("-number")[:1], str
)


def edits(read: ReadPolicy, text: str) -> Edits | None:
    """What a text would change in the policy that it names; None for a new one."""
    revision = _NEWEST.first(read.name)
    return Edits(revision, difference(revision.text, text, read=read)) if revision else None


def simulate(read: ReadPolicy, text: str, *, asker: User, version: ModelVersion, target: Target) -> Standing:
    """Where ``asker`` would stand who wants ``target`` for a version, if the text were in force."""
    question = Question(version=version, target=target, leaving=given_up(version, target), asker=asker)
    return answer(question, rulebook=with_draft(read, text))


def target_of_draft(read: ReadPolicy) -> Target:
    """What it guards first. Raises Invalid where that is a pattern of aliases."""
    guard = read.guards[0]
    if guard.kind == TargetKind.ALIAS and any(sign in guard.name for sign in "*?"):
        raise Invalid(f"It guards the aliases {guard.name}: say which one, as in @champion.", field="target")
    return Target(TargetKind(guard.kind), guard.name)


def effects(read: ReadPolicy, text: str, *, user: User, most: int = MOST_REQUESTS) -> Effects:
    """Of the oldest ``most`` open requests that ``user`` may read, those that would stand differently. Approvals count
    as they would then: where the policy says so, those given under its older text do not."""
    pending = TransitionRequest.objects.visible_to(user).pending().order_by("pk")
    keys = list(pending.values_list("pk", flat=True)[: most + 1])
    in_force, draft = Rulebook.load(), with_draft(read, text)
    found = []
    for chunk in _chunks(keys[:most]):
        rows = TransitionRequest.objects.filter(pk__in=chunk).select_related("version__evidence").order_by("pk")
        requests = list(rows.prefetch_related("requester", "version__user", "version__model"))
        before, after = standings_of(requests, rulebook=in_force), standings_of(requests, rulebook=draft)
        found += [Effect.of(*stands) for stands in zip(requests, before, after, strict=True)]
        found = [effect for effect in found if effect.is_one]
    return Effects(min(len(keys), most), len(keys) > most, found)


def replay(read: ReadPolicy, text: str, *, user: User, most: int = MOST_REPLAYED) -> Replay:
    """The text against the newest ``most`` decisions about models that ``user`` may read.

    What was known then: the evidence that was pinned, the checks reported by then, the reviews that were given, by the
    teams of then, and the versions that held the target and Production. What is not kept of the past is taken as of
    now: descriptions, tags, levels on models, the state of a run, whether a thread is resolved, and the evidence of the
    versions compared with.

    A move counts as stopped where this text alone would not have let it through. A request that expired or was
    withdrawn counts as satisfied where this text and the other policies of today would have let it through on what it
    had by then. What a person rejected stays rejected, what was superseded needed no decision, and a bypass would have
    gone around this text as well.
    """
    rulebook = with_draft(read, text)
    decided, models, is_cut = _decided(read, user, most)
    held = _held_production(decided) if _compares_with_production(rulebook) else {}
    moves = unmade = 0
    stopped, satisfied = [], []
    for chunk in _chunks([row.pk for row in decided]):
        for row, standing in _standings_then(chunk, models, rulebook, held):
            if row.state == State.APPLIED:
                moves += 1
                if not (verdict := standing.verdict_of(read.name)).satisfied:
                    stopped.append(Outcome(Subject.of(row), verdict.sentence))
            else:
                unmade += 1
                if standing.is_satisfied:
                    satisfied.append(Outcome(Subject.of(row), standing.verdict.sentence))
    return Replay(moves, stopped, unmade, satisfied, is_cut)


class Decided(NamedTuple):
    pk: int
    model_id: int
    version_id: int
    target_kind: str
    target: str
    from_stage: str
    closed_at: datetime


def _decided(read: ReadPolicy, user: User, most: int) -> tuple[list[Decided], dict[int, RegisteredModel], bool]:
    """The newest decisions that the text has a say in, their models, and whether there are older ones."""
    rows = TransitionRequest.objects.visible_to(user).filter(state__in=_DECIDED, is_bypassed=False).order_by("-pk")
    newest = [Decided(*values) for values in rows.values_list(*Decided._fields)[: most + 1]]
    models = RegisteredModel.objects.in_bulk({row.model_id for row in newest})
    draft = Rulebook((Rule(revision=PolicyRevision(pk=0), name=read.name, read=read),))

    @cache
    def has_a_say(model_id: int, kind: str, target: str, from_stage: str) -> bool:
        entering = Target(TargetKind(kind), target)
        return bool(draft.about(models[model_id], entering=entering, leaving=_left(entering, from_stage)))

    chosen = [row for row in newest[:most] if has_a_say(row.model_id, row.target_kind, row.target, row.from_stage)]
    return chosen, models, len(newest) > most


def _left(entering: Target, stage: str) -> tuple[Target, ...]:
    """What a version in ``stage`` gave up then."""
    if entering.kind != TargetKind.STAGE or stage in (Stage.NONE, entering.name):
        return ()
    return (Target(TargetKind.STAGE, stage),)


def _standings_then(
    chunk: list[int], models: dict[int, RegisteredModel], rulebook: Rulebook, held: dict[int, int]
) -> Iterator[tuple[TransitionRequest, Standing]]:
    """Each of these requests and where it stood when it was decided, in as many statements for many as for one."""
    rows = TransitionRequest.objects.filter(pk__in=chunk).defer("verdict").select_related("version", "evidence")
    requests = list(rows.prefetch_related("requester", "version__user").order_by("-pk"))
    for row in requests:
        row.model = row.version.model = models[row.model_id]
        row.version.evidence = row.evidence
    compared = {row.baseline_id for row in requests} | {held[key] for key in chunk if key in held}
    versions = ModelVersion.objects.select_related("evidence").in_bulk(compared - {None})
    reviews, checks = _reviews_then(chunk), _checks_then(requests, rulebook)
    questions = [replace(facts.of_request(row), leaving=_left(row.asks_for, row.from_stage)) for row in requests]
    gathered = facts.gather(questions, rulebook=rulebook, of_now=False)
    if any(facts.counts_movers(known.rules) for known in gathered):
        read_grants([review.reviewer for given in reviews.values() for review in given])
    for row, known in zip(requests, gathered, strict=True):
        given, moment = reviews.get(row.pk, []), _moment(row)
        yield (
            row,
            Standing(
                replace(
                    known,
                    pins=Pins.of_request(row),
                    at=moment,
                    baseline=versions.get(row.baseline_id) if row.baseline_id else None,
                    production=versions.get(held[row.pk]) if row.pk in held else None,
                    reviews=tuple(given),
                    checks=tuple(check for check in checks.get(row.version_id, ()) if check.reported_at <= moment),
                    threads=_threads_then(row, known),
                    members={
                        team: {r.person_id: r.person for r in (*known.carried, *given) if team in r.teams}
                        for team in known.members
                    },
                )
            ),
        )


def _chunks(keys: list[int]) -> Iterator[list[int]]:
    """The rows of one chunk are held at a time, however many there are."""
    return (keys[start : start + CHUNK] for start in range(0, len(keys), CHUNK))


def _threads_then(review_request: TransitionRequest, known: Known) -> tuple[Comment, ...] | None:
    """Those that were open then and still are: since when others are resolved may not be the first time."""
    if known.threads is None:
        return None
    return tuple(thread for thread in known.threads if thread.created_at <= _moment(review_request))


def _moment(review_request: TransitionRequest) -> datetime:
    assert review_request.closed_at is not None  # it was decided
    return review_request.closed_at


def _reviews_then(requests: list[int]) -> dict[int, list[Review]]:
    """Whoever approved has approved, also if they have left since."""
    found: dict[int, list[Review]] = {}
    rows = Review.objects.current().filter(request__in=requests).prefetch_related("reviewer", "person")
    for review in rows.defer("comment").order_by("id"):
        found.setdefault(review.request_id, []).append(review)
    return found


def _checks_then(requests: list[TransitionRequest], rulebook: Rulebook) -> dict[int, list[Check]]:
    """Every report of the checks that are asked for, those that were replaced since included."""
    names = {name for rule in rulebook.rules for name in rule.reported}
    found: dict[int, list[Check]] = {}
    if names:
        rows = Check.objects.filter(version__in={row.version_id for row in requests}, name__in=names)
        for check in rows.defer("summary").prefetch_related("reporter").order_by("id"):
            found.setdefault(check.version_id, []).append(check)
    return found


def _compares_with_production(rulebook: Rulebook) -> bool:
    asked = (requirement for rule in rulebook.rules if rule.read for requirement in rule.read.requirements)
    return any(getattr(requirement, name, "") == "production" for requirement in asked for name in _BASELINES)


def _held_production(decided: Sequence[Decided]) -> dict[int, int]:
    """By request, the version that was in Production when it was decided."""
    holdings = StageHolding.objects.filter(
        model__in={row.model_id for row in decided}, target_kind=TargetKind.STAGE, target=Stage.PRODUCTION
    )
    by_model: dict[int, list[tuple[datetime, datetime | None, int]]] = {}
    for model, since, until, version in holdings.order_by("since").values_list(
        "model_id", "since", "until", "version_id"
    ):
        by_model.setdefault(model, []).append((since, until, version))
    held: dict[int, int] = {}
    for row in decided:
        spans = by_model.get(row.model_id, [])
        # The last that had begun by then, and had not ended before; a move itself begins and ends one at that moment.
        begun = spans[: bisect_left(spans, row.closed_at, key=lambda span: span[0])]
        for _since, until, version in reversed(begun):
            if version != row.version_id and (until is None or until >= row.closed_at):
                held[row.pk] = version
                break
    return held
