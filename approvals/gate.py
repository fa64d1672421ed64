"""The answer to the registry's question (``settings.CHANGE_GATE``): no change to a guarded target without a satisfied
request, whoever asks and through whichever door.

Called inside the transaction of the change, with the model row locked. What follows from a change for requests (the
question of one is settled, the baseline of others has moved) is written here as well, so it commits or rolls back
with the change: docs/decisions/requests-follow-direct-moves.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import structlog
from django.conf import settings
from django.urls import reverse

from accounts.permissions import can_administer
from approvals.events import PolicyWarned
from approvals.facts import Question
from approvals.models import TransitionRequest
from approvals.permissions import can_bypass
from approvals.pins import Pins, in_words
from approvals.policy import listed
from approvals.rulebook import IN_FORCE, Rule, Rulebook
from approvals.services.bypass import checked_reason
from approvals.services.decisions import RECONSIDER_MODEL, already, supersede
from approvals.standing import Judgement, answer, standing_of
from core import jobs
from core.clock import now
from core.errors import Conflict
from core.prepared import LookUp, Prepared
from notifications.events import record
from registry import evidence
from registry.gate import Change, ChangeKind, GateRefused, Target
from registry.models import ModelVersion, RegisteredModel, Stage, TargetKind

log = structlog.get_logger(__name__)

_MOVES = (ChangeKind.MOVE_STAGE, ChangeKind.SET_ALIAS)
_DELETIONS = (ChangeKind.DELETE_VERSION, ChangeKind.DELETE_MODEL, ChangeKind.DELETE_ALIAS)
_TAGS = (ChangeKind.SET_MODEL_TAG, ChangeKind.DELETE_MODEL_TAG)
# What may settle a request, or change what one is judged on.
_CONCERNING = (*_MOVES, *_DELETIONS, *_TAGS, ChangeKind.RENAME_MODEL)


# What a request of the version may wait for, and nothing that could be refused.
_DESCRIBING = (ChangeKind.UPDATE_VERSION, ChangeKind.SET_VERSION_TAG, ChangeKind.DELETE_VERSION_TAG)

_PENDING = Prepared(
    lambda model: (
        TransitionRequest.objects.pending()
        .filter(model=model)
        .with_rows()
        .select_for_update(of=("self",))
        .order_by("pk")
    ),
    int,
)
_AWAITING = Prepared(lambda version: TransitionRequest.objects.pending().filter(version=version)[:1], int)


class PolicyGate:
    """The policies in force answer."""

    def check(self, change: Change) -> None:
        """Return when the change may happen; raise GateRefused, with what is unmet and where to ask, when not."""
        policies, pending = change.answers if change.kind in _MOVES and change.answers else (None, None)
        if change.permit is not None:
            _check_permit(change)
        elif change.kind in _MOVES:
            _check_direct_move(change, Rulebook.load() if policies is None else Rulebook.of(policies))
        elif change.kind in _DELETIONS:
            _check_deletion(change)
        elif change.kind == ChangeKind.RENAME_MODEL:
            _check_rename(change)
        elif change.kind in _TAGS:
            _check_tag(change)
        elif change.kind in _DESCRIBING and change.version is not None:
            [awaiting] = change.answers or [_AWAITING.all(change.version.pk)]
            if awaiting:
                jobs.after_commit(RECONSIDER_MODEL, change.model.pk)
        elif change.kind == ChangeKind.CHANGE_GRANTS:  # an approval may count now, or no longer
            jobs.after_commit(RECONSIDER_MODEL, change.model.pk)
        # What is left creates, or describes a model: a new model or version holds nothing yet.
        if change.kind in _CONCERNING:
            _settle_requests(change, _PENDING.all(change.model.pk) if pending is None else pending)

    def questions(self, kind: ChangeKind, version: ModelVersion) -> tuple[LookUp[Any], ...]:
        """The policies in force and the pending requests of the model; or whether any request awaits something."""
        if kind in _MOVES:
            return IN_FORCE.of(), _PENDING.of(version.model_id)
        return (_AWAITING.of(version.pk),) if kind in _DESCRIBING else ()


GATE = PolicyGate()


def _check_permit(change: Change) -> None:
    """A permit is only a number: everything it stands for is read again here."""
    assert change.permit is not None
    asked = TransitionRequest.objects.with_rows().select_for_update(of=("self",))
    review_request = asked.filter(pk=change.permit.request_id).first()
    if (
        change.kind not in _MOVES
        or review_request is None
        or change.version is None
        or (review_request.model_id, review_request.version_id) != (change.model.pk, change.version.pk)
        or review_request.asks_for != change.entering
    ):
        raise GateRefused("This permit is for another change.")
    if review_request.state != TransitionRequest.State.OPEN and not (
        change.permit.bypass and review_request.is_pending
    ):
        raise Conflict(already(review_request))

    review_request.version.evidence = evidence.refresh(review_request.version)
    standing = standing_of(review_request)
    url = settings.BASE_URL + review_request.get_absolute_url()
    if moved := standing.pins.moved(Pins.of_request(review_request)):
        raise GateRefused(
            f"Request {review_request.pk} was opened on something else: {in_words(moved)}. See {url}", ask_url=url
        )
    if standing.expiry and now() >= standing.expiry[0]:
        raise GateRefused(f"Request {review_request.pk} has expired. See {url}", ask_url=url)
    if change.permit.bypass:
        checked_reason(change.permit.bypass)
        if not (may := can_bypass(change.actor, review_request, standing)):
            raise GateRefused(f"{may.reason} See {url}", unmet=standing.unmet, ask_url=url)
        return
    if not standing.is_satisfied:
        raise GateRefused(
            f"Request {review_request.pk} is not satisfied. {_sentences(standing.unmet)} See {url}",
            unmet=standing.unmet,
            ask_url=url,
        )


def _check_direct_move(change: Change, rulebook: Rulebook) -> None:
    """Nobody moves a version in or out of a guarded target directly, unless a policy lets the satisfied through."""
    version, target = change.version, change.entering
    if version is None or target is None:
        return  # it stays where it is
    if not rulebook.about(change.model, entering=target, leaving=change.leaving):
        return

    version.evidence = evidence.refresh(version)
    question = Question(version=version, target=target, leaving=change.leaving, asker=change.actor)
    judgements = answer(question).judgements
    refusing = [judged for judged in judgements if not _lets_through(judged)]
    if refusing:
        raise _refusal(version, target, refusing)
    for judged in judgements:
        if not judged.is_met:
            _note(change, judged.rule, judged.unmet)


def _lets_through(judged: Judgement) -> bool:
    """Whether this policy allows the change without a request."""
    read = judged.rule.read
    if read is None:
        return False
    if not read.blocks:
        return True
    return read.on_direct_change == "allow_if_satisfied" and judged.is_met


def _refusal(version: ModelVersion, target: Target, refusing: list[Judgement]) -> GateRefused:
    pending = TransitionRequest.objects.pending().filter(version=version).for_target(target).order_by("-id").first()
    if pending:
        url = settings.BASE_URL + pending.get_absolute_url()
        ask = f"Request {pending.pk} asks for it already: {url}"
    else:
        url = _ask_url(version, target)
        ask = f"Ask for it: {url}"
    names = _names(judged.rule for judged in refusing)
    wants = "asks" if len(refusing) == 1 else "ask"
    unmet = tuple(sentence for judged in refusing for sentence in judged.unmet)
    parts = [
        f"{version} cannot go to {target} directly: {names} {wants} for a request.",
        *([_sentences(unmet)] if unmet else []),
        ask,
    ]
    # A change that only lacks something is asked for as well, where any policy would rather have it asked for.
    answers = {judged.rule.read.on_direct_change if judged.rule.read else "refuse" for judged in refusing}
    opens = "open_request" in answers and "refuse" not in answers
    return GateRefused(" ".join(parts), unmet=unmet, ask_url=url, open_request=opens)


def _check_deletion(change: Change) -> None:
    """What holds a guarded target is first moved out of it by a request; deleting it would be a way round."""
    over = Rulebook.load().over(change.model.name, change.model.tags)
    if not over:
        return
    for target in change.leaving:
        guarding = [rule for rule in over if rule.guards(target)]
        blocking = [rule for rule in guarding if rule.blocks]
        held = f"{change.version} holds" if change.version else f"a version of {change.model} holds"
        if not blocking:
            for rule in guarding:
                _note(change, rule, (f"{held} {target}",))
            continue
        url = _ask_url(change.version, None) if change.version else settings.BASE_URL + change.model.get_absolute_url()
        if change.kind == ChangeKind.DELETE_ALIAS:
            advice = "Move the alias to another version by a request instead"
        else:
            advice = (
                f"Ask to move it out of {target} first" if target.kind == TargetKind.STAGE else f"Move {target} first"
            )
        raise GateRefused(
            f"This cannot be deleted: {held} {target}, which {_names(blocking)} guards. {advice}: {url}",
            unmet=(f"{held} {target}",),
            ask_url=url,
        )


def _held(model: RegisteredModel) -> tuple[Target, ...]:
    """Every stage and alias that a live version of the model holds."""
    live = ModelVersion.objects.filter(model=model, deleted_at=None).exclude(current_stage=Stage.NONE)
    stages = live.order_by("current_stage").values_list("current_stage", flat=True).distinct()
    return (
        *(Target(TargetKind.STAGE, stage) for stage in stages),
        *(Target(TargetKind.ALIAS, alias) for alias in sorted(model.aliases)),
    )


def _check_rename(change: Change) -> None:
    """A name decides which policies apply: renaming must not lose one, nor carry an unreviewed holder under one."""
    rulebook = Rulebook.load()
    before = rulebook.over(change.model.name, change.model.tags)
    after = rulebook.over(change.new_name, change.model.tags)
    if lost := [rule for rule in before if rule not in after]:
        raise GateRefused(
            f"{change.model} cannot be renamed to {change.new_name}: {_names(lost)} would no longer apply to it. "
            "An administrator can extend the policy to the new name first."
        )
    gained = [rule for rule in after if rule not in before]
    if not gained:
        return
    for target in _held(change.model):
        if guarding := [rule for rule in gained if rule.guards(target)]:
            raise GateRefused(
                f"{change.model} cannot be renamed to {change.new_name}: {_names(guarding)} guards {target} there, and "
                f"the version that holds it was never reviewed under it. Move it out of {target} first."
            )


def _check_tag(change: Change) -> None:
    """A tag key that a policy matches on decides which policy applies: administrators set it."""
    if can_administer(change.actor):
        return
    rulebook = Rulebook.load()
    if rulebook.unreadable:
        raise GateRefused(
            f"{_names(rulebook.unreadable)} cannot be read, so nobody knows which tags decide over policies. "
            "Until it can, only an administrator sets tags of models."
        )
    if change.key in rulebook.tag_keys:
        deciding = [rule for rule in rulebook.rules if rule.read and change.key in rule.read.tag_keys]
        raise GateRefused(
            f"The tag {change.key} decides whether {_names(deciding)} applies to {change.model}: only an administrator "
            "sets or removes it."
        )


def _note(change: Change, rule: Rule, unmet: tuple[str, ...]) -> None:
    """A policy that only warns leaves an event for everybody to see; one in the shadow leaves a line in the log."""
    if rule.read is not None and rule.read.enforcement == "shadow":
        model, kind = change.model.name, str(change.kind)
        log.info("policy_shadowed", policy=rule.name, model=model, change=kind, unmet=unmet)
        return
    record(
        PolicyWarned(
            model_name=change.model.name,
            model_id=change.model.pk,
            version=change.version.version if change.version else None,
            policy=rule.name,
            change=str(change.version or change.model),
            unmet=unmet,
        ),
        actor=change.actor,
    )


def _settle_requests(change: Change, pending: list[TransitionRequest]) -> None:
    """Close the requests whose question this change settles; a task looks again at the others of the model."""
    permitted = change.permit.request_id if change.permit else None
    requests = [review_request for review_request in pending if review_request.pk != permitted]
    settled = [review_request for review_request in requests if _settles(change, review_request)]
    supersede(settled, actor=change.actor, reason=_superseding(change))
    if len(settled) < len(requests):
        jobs.after_commit(RECONSIDER_MODEL, change.model.pk)


def _settles(change: Change, review_request: TransitionRequest) -> bool:
    if change.kind == ChangeKind.DELETE_MODEL:
        return True
    if change.version is None or review_request.version_id != change.version.pk:
        return False
    return change.kind == ChangeKind.DELETE_VERSION or review_request.asks_for == change.entering


def _superseding(change: Change) -> str:
    if change.kind == ChangeKind.DELETE_MODEL:
        return f"{change.actor.display_name} deleted the model."
    if change.kind == ChangeKind.DELETE_VERSION:
        return f"{change.actor.display_name} deleted the version."
    if change.permit is not None:
        return f"request {change.permit.request_id} put the version there."
    return f"{change.actor.display_name} moved the version there directly."


def _ask_url(version: ModelVersion, target: Target | None) -> str:
    url = settings.BASE_URL + reverse("new_request", args=[version.model.name, version.version])
    return f"{url}?{urlencode({'target': str(target)})}" if target else url


def _names(rules: Iterable[Rule]) -> str:
    names = [rule.name for rule in rules]
    return f"the {'policy' if len(names) == 1 else 'policies'} {listed(names)}"


def _sentences(unmet: tuple[str, ...]) -> str:
    return f"Unmet: {'; '.join(sentence.rstrip('.') for sentence in unmet)}." if unmet else ""
