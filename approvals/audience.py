"""Who is told personally: people who took part, and people who can clear what is unmet."""

from __future__ import annotations

from collections.abc import Iterable

from accounts.models import Level, User
from accounts.permissions import administrators, default_level, read_grants
from approvals.models import Comment, Review, TransitionRequest
from registry.models import ModelVersion, RegisteredModel
from registry.permissions import can_read


def who_may_read(model: RegisteredModel, people: Iterable[int]) -> set[int]:
    """Those of the people who may read the model now: whoever lost it, or never had it, gets no mail about it."""
    if default_level() >= Level.READ:
        return set(people)
    found = list(User.objects.filter(pk__in=set(people)))
    read_grants(found)
    return {person.pk for person in found if can_read(person, model)}


def participants(version: ModelVersion, review_request: TransitionRequest | None = None) -> set[int]:
    """Those who asked, judged or spoke about this request; without one, about this version; who may still read it."""
    return who_may_read(version.model, _took_part(version, review_request))


def who_may_hear_of_bypass(review_request: TransitionRequest, could_clear: Iterable[int]) -> set[int]:
    """Everybody whose say was passed over: participants, who could have cleared what was unmet, administrators."""
    concerned = {*_took_part(review_request.version, review_request), *could_clear, *administrators()}
    return who_may_read(review_request.model, concerned)


def _took_part(version: ModelVersion, review_request: TransitionRequest | None) -> set[int]:
    if review_request is None:
        spoke = Comment.objects.filter(version=version, request=None).values_list("author_id", flat=True)
        return {*spoke, *({version.user_id} if version.user_id else ())}
    spoke = Comment.objects.filter(request=review_request).values_list("author_id", flat=True)
    judged = Review.objects.filter(request=review_request).values_list("reviewer_id", "person_id")
    return {*askers(review_request), *spoke, *(account for row in judged for account in row)}


def askers(review_request: TransitionRequest) -> set[int]:
    """The account that asked and, for a service account, the person behind it."""
    return {review_request.requester_id, review_request.requester.person_id}
