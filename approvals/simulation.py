"""What a policy text would make of a version and of the requests that are open, and what it would have made of those
that were carried out. Nothing is written."""

from __future__ import annotations

from dataclasses import dataclass, replace

from accounts.models import User
from approvals import facts
from approvals.facts import Question, given_up
from approvals.models import PolicyRevision, TransitionRequest
from approvals.pins import Pins
from approvals.policy import Policy as ReadPolicy
from approvals.rulebook import Rule, Rulebook
from approvals.standing import Standing, answer, standings_of
from registry.gate import Target
from registry.models import ModelVersion, Stage, StageHolding, TargetKind

MOST_REQUESTS = 500
MOST_REPLAYED = 10_000


@dataclass(frozen=True, slots=True)
class Effect:
    """An open request that would stand differently."""

    review_request: TransitionRequest
    before: Standing
    after: Standing


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


def simulate(read: ReadPolicy, text: str, *, asker: User, version: ModelVersion, target: Target) -> Standing:
    """Where ``asker`` would stand who wants ``target`` for a version, if the text were in force."""
    question = Question(version=version, target=target, leaving=given_up(version, target), asker=asker)
    return answer(question, rulebook=with_draft(read, text))


def effects(read: ReadPolicy, text: str, *, user: User) -> list[Effect]:
    """The open requests that ``user`` may read and that would stand differently, the oldest first. Approvals count as
    they would then: where the policy says so, those given under its older text do not."""
    pending = TransitionRequest.objects.visible_to(user).pending().with_rows().order_by("pk")[:MOST_REQUESTS]
    requests = list(pending)
    before, after = standings_of(requests), standings_of(requests, rulebook=with_draft(read, text))
    found = [Effect(*stands) for stands in zip(requests, before, after, strict=True)]
    return [effect for effect in found if effect.before.verdict.to_json() != effect.after.verdict.to_json()]


def replay(read: ReadPolicy, text: str, *, user: User, most: int = MOST_REPLAYED) -> Replay:
    """The text against the newest ``most`` moves of models that ``user`` may read: on the evidence that was pinned, the
    baseline and the holder of Production of that moment, and the approvals that were given, by the teams of then. What
    is not kept of the past is taken as of now: descriptions, tags and levels on models."""
    draft = Rulebook((Rule(revision=PolicyRevision(pk=0, text=text), name=read.name, read=read),))
    applied = TransitionRequest.objects.visible_to(user).filter(state=TransitionRequest.State.APPLIED)
    newest = applied.with_rows().select_related("baseline__evidence").order_by("-pk")[:most]
    requests = [
        row for row in newest if draft.about(row.model, entering=row.asks_for, leaving=_left(row)) and row.closed_at
    ]
    for review_request in requests:
        review_request.version.evidence = review_request.evidence
    questions = [replace(facts.of_request(row), leaving=_left(row)) for row in requests]
    in_production = _held_production(requests)
    stopped = []
    for row, known in zip(requests, facts.gather(questions, rulebook=draft), strict=True):
        then = replace(
            known,
            pins=Pins.of_request(row),
            baseline=row.baseline,
            production=in_production.get(row.pk),
            checks=tuple(check for check in known.checks if row.closed_at and check.reported_at <= row.closed_at),
            members={
                team: {review.person_id: review.person for review in known.reviews if team in review.teams}
                for team in known.members
            },
        )
        if not (standing := Standing(then)).is_satisfied:
            stopped.append(Stopped(row, standing))
    return Replay(len(requests), stopped)


def _left(review_request: TransitionRequest) -> tuple[Target, ...]:
    """What the version gave up then."""
    stage = review_request.from_stage
    if review_request.target_kind != TargetKind.STAGE or stage in (Stage.NONE, review_request.target):
        return ()
    return (Target(TargetKind.STAGE, stage),)


def _held_production(requests: list[TransitionRequest]) -> dict[int, ModelVersion]:
    """By request, the version in Production when it was carried out."""
    holdings = StageHolding.objects.filter(
        model__in={row.model_id for row in requests}, target_kind=TargetKind.STAGE, target=Stage.PRODUCTION
    ).select_related("version__model", "version__evidence")
    by_model: dict[int, list[StageHolding]] = {}
    for holding in holdings.order_by("since"):
        by_model.setdefault(holding.model_id, []).append(holding)
    found = {}
    for row in requests:
        for holding in by_model.get(row.model_id, ()):
            at = row.closed_at
            if at and holding.version_id != row.version_id and holding.since < at <= (holding.until or at):
                found[row.pk] = holding.version
    return found
