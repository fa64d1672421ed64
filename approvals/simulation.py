"""What a policy text would make of a version and of the requests that are open, and what it would have made of those
that were carried out. Nothing is written."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from datetime import datetime

from accounts.models import User
from approvals import facts
from approvals.facts import Known, Question, given_up
from approvals.models import Check, Comment, PolicyRevision, Review, TransitionRequest
from approvals.pins import Pins
from approvals.policy import Policy as ReadPolicy
from approvals.policy.difference import Difference, difference
from approvals.rulebook import Rule, Rulebook
from approvals.standing import Standing, answer, standings_of
from core.errors import Invalid
from registry.gate import Target
from registry.models import ModelVersion, Stage, StageHolding, TargetKind

MOST_REQUESTS = 500
MOST_REPLAYED = 1000
_BASELINES = ("baseline", "compatible_with", "evaluated_like")  # where rules name what they compare with


@dataclass(frozen=True, slots=True)
class Edits:
    """How a text differs from the newest revision of its policy."""

    revision: PolicyRevision
    difference: Difference


@dataclass(frozen=True, slots=True)
class Effect:
    """An open request that would stand differently."""

    review_request: TransitionRequest
    before: Standing
    after: Standing

    @property
    def expires(self) -> datetime | None:
        """When it would end by itself, where that is not what it is now."""
        before, after = (standing.expiry[0] if standing.expiry else None for standing in (self.before, self.after))
        return after if after != before else None

    @property
    def is_one(self) -> bool:
        told = ((standing.verdict.sentence, standing.is_satisfied) for standing in (self.before, self.after))
        return len(set(told)) > 1 or self.expires is not None


@dataclass(frozen=True, slots=True)
class Effects:
    """``looked_at`` of the open requests, the oldest first; ``is_cut``: there are more."""

    looked_at: int
    is_cut: bool
    changed: list[Effect]


@dataclass(frozen=True, slots=True)
class Stopped:
    """A move that was made, and where it would have stood."""

    review_request: TransitionRequest
    standing: Standing


@dataclass(frozen=True, slots=True)
class Replay:
    """``count``: the moves that were made by a request and that the text has a say in; ``stopped``: those that it would
    not have let through, the newest first."""

    count: int
    stopped: list[Stopped]


def with_draft(read: ReadPolicy, text: str) -> Rulebook:
    """The policies in force, with the draft in the place of the one that has its name."""
    in_force = Rulebook.load()
    if any((rule.name, rule.revision.text) == (read.name, text) for rule in in_force.rules):
        return in_force  # to publish it again changes nothing
    draft = Rule(revision=PolicyRevision(pk=0, text=text), name=read.name, read=read)
    others = (rule for rule in in_force.rules if rule.name != read.name)
    return Rulebook(tuple(sorted((*others, draft), key=lambda rule: rule.name)))


def edits(read: ReadPolicy, text: str) -> Edits | None:
    """What a text would change in the policy that it names; None for a new one."""
    revision = PolicyRevision.objects.filter(policy__name=read.name).select_related("policy").first()
    return Edits(revision, difference(revision.text, text)) if revision else None


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


def effects(read: ReadPolicy, text: str, *, user: User) -> Effects:
    """The open requests that ``user`` may read and that would stand differently. Approvals count as they would then:
    where the policy says so, those given under its older text do not."""
    pending = TransitionRequest.objects.visible_to(user).pending().with_rows().order_by("pk")[: MOST_REQUESTS + 1]
    requests = list(pending)
    looked_at = requests[:MOST_REQUESTS]
    before, after = standings_of(looked_at), standings_of(looked_at, rulebook=with_draft(read, text))
    found = [Effect(*stands) for stands in zip(looked_at, before, after, strict=True)]
    return Effects(len(looked_at), len(requests) > MOST_REQUESTS, [effect for effect in found if effect.is_one])


def replay(read: ReadPolicy, text: str, *, user: User, most: int = MOST_REPLAYED) -> Replay:
    """The text against the newest ``most`` moves made by a request, of models that ``user`` may read: on the evidence
    that was pinned, the checks reported by then, the approvals that were given, by the teams of then, and against the
    versions that held the target and Production. What is not kept of the past is taken as of now: descriptions, tags,
    levels on models, the state of a run, whether a thread is resolved, and the evidence of the versions compared
    with."""
    draft = Rulebook((Rule(revision=PolicyRevision(pk=0, text=text), name=read.name, read=read),))
    applied = TransitionRequest.objects.visible_to(user).filter(state=TransitionRequest.State.APPLIED)
    newest = applied.select_related("model").order_by("-pk")[:most]
    concerned = [row.pk for row in newest if draft.about(row.model, entering=row.asks_for, leaving=_left(row))]
    rows = TransitionRequest.objects.filter(pk__in=concerned).with_rows().select_related("baseline__evidence")
    requests = list(rows.order_by("-pk"))
    for review_request in requests:
        review_request.version.evidence = review_request.evidence
    questions = [replace(facts.of_request(row), leaving=_left(row)) for row in requests]
    reviews, checks = _reviews_then(requests), _checks_then(requests, read)
    in_production = _held_production(requests) if _compares_with_production(read) else {}
    stopped = []
    for row, known in zip(requests, facts.gather(questions, rulebook=draft), strict=True):
        given = reviews.get(row.pk, [])
        then = replace(
            known,
            pins=Pins.of_request(row),
            at=_moment(row),
            baseline=row.baseline,
            production=in_production.get(row.pk),
            reviews=tuple(given),
            checks=tuple(check for check in checks.get(row.version_id, ()) if check.reported_at <= _moment(row)),
            threads=_threads_then(row, known),
            members={
                team: {review.person_id: review.person for review in given if team in review.teams}
                for team in known.members
            },
        )
        if not (standing := Standing(then)).is_satisfied:
            stopped.append(Stopped(row, standing))
    return Replay(len(requests), stopped)


def _threads_then(review_request: TransitionRequest, known: Known) -> tuple[Comment, ...] | None:
    """Those that were open then and still are: since when others are resolved may not be the first time."""
    if known.threads is None:
        return None
    return tuple(thread for thread in known.threads if thread.created_at <= _moment(review_request))


def _moment(review_request: TransitionRequest) -> datetime:
    assert review_request.closed_at is not None  # it was applied
    return review_request.closed_at


def _left(review_request: TransitionRequest) -> tuple[Target, ...]:
    """What the version gave up then."""
    stage = review_request.from_stage
    if review_request.target_kind != TargetKind.STAGE or stage in (Stage.NONE, review_request.target):
        return ()
    return (Target(TargetKind.STAGE, stage),)


def _reviews_then(requests: list[TransitionRequest]) -> dict[int, list[Review]]:
    """Whoever approved has approved, also if they have left since."""
    found: dict[int, list[Review]] = {}
    rows = Review.objects.current().filter(request__in=[row.pk for row in requests])
    for review in rows.select_related("reviewer", "person").order_by("id"):
        found.setdefault(review.request_id, []).append(review)
    return found


def _checks_then(requests: list[TransitionRequest], read: ReadPolicy) -> dict[int, list[Check]]:
    """Every report of the checks that are asked for, those that were replaced since included."""
    names = {rule.name for rule in read.checks}
    found: dict[int, list[Check]] = {}
    if names:
        rows = Check.objects.filter(version__in={row.version_id for row in requests}, name__in=names)
        for check in rows.select_related("reporter").order_by("id"):
            found.setdefault(check.version_id, []).append(check)
    return found


def _compares_with_production(read: ReadPolicy) -> bool:
    named = (getattr(rule, name, "") for rule in read.requirements for name in _BASELINES)
    return "production" in named


def _held_production(requests: list[TransitionRequest]) -> dict[int, ModelVersion]:
    """By request, the version in Production when it was carried out."""
    holdings = StageHolding.objects.filter(
        model__in={row.model_id for row in requests}, target_kind=TargetKind.STAGE, target=Stage.PRODUCTION
    )
    by_model: dict[int, list[tuple[datetime, datetime | None, int]]] = {}
    for model, since, until, version in holdings.order_by("since").values_list(
        "model_id", "since", "until", "version_id"
    ):
        by_model.setdefault(model, []).append((since, until, version))
    held: dict[int, int] = {}
    for row in requests:
        at, spans = _moment(row), by_model.get(row.model_id, [])
        # The last that had begun by then, and had not ended before; the move itself begins and ends one at that moment.
        for _since, until, version in reversed(spans[: bisect_left(spans, at, key=lambda span: span[0])]):
            if version != row.version_id and (until is None or until >= at):
                held[row.pk] = version
                break
    versions = ModelVersion.objects.select_related("model", "evidence").in_bulk(set(held.values()))
    return {request: versions[version] for request, version in held.items()}
