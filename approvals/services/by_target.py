"""Deciding by version and target, for callers that know no number of a request (the Databricks protocol).

What is decided is what is on the table at that moment: these callers carry nothing back that says what they saw.
"""

from __future__ import annotations

from accounts.models import User
from approvals.models import TransitionRequest
from approvals.services.decisions import reconsider
from approvals.services.requests import withdraw_request
from approvals.services.reviews import submit_review
from approvals.standing import standing_of
from core.answers import require
from core.errors import Conflict, NotFound, NotPermitted
from registry.gate import Target
from registry.models import ModelVersion
from registry.permissions import can_manage, can_move, can_read


def review_requests_for(
    *,
    actor: User,
    version: ModelVersion,
    target: Target,
    decision: str,
    comment: str = "",
    archive_existing: bool | None = None,
) -> list[TransitionRequest]:
    """Say the same about every pending request for the target: those that it was said about, the oldest first.

    One that is applied closes the others. Refused where it can be said about none; without any request to those who
    could not move the version, NotFound to the others.
    """
    require(can_read(actor, version.model))
    pending = TransitionRequest.objects.pending().for_target(target).filter(version=version)
    judged: list[TransitionRequest] = []
    refusals: list[NotPermitted | Conflict] = []
    for found in pending.order_by("pk"):
        try:
            review_request = reconsider(found)
            if not review_request.is_pending:
                continue
            judged.append(
                submit_review(
                    actor=actor,
                    review_request=review_request,
                    decision=decision,
                    comment=comment,
                    seen=standing_of(review_request).seen,
                    archive_existing=archive_existing,
                )
            )
        except (NotPermitted, Conflict) as error:
            refusals.append(error)
    if not judged and refusals:
        raise refusals[0]
    if not judged:
        require(can_move(actor, version, target))
        raise NotFound(f"Nobody asks that {version} gets {target}: there is no open request.")
    return judged


def withdraw_request_of(
    *, actor: User, creator: str, version: ModelVersion, target: Target, comment: str = ""
) -> TransitionRequest:
    """Take back the pending request for the target that the person or service account of this name has made."""
    pending = TransitionRequest.objects.pending().for_target(target).filter(version=version)
    found = pending.filter(requester__username=creator).first()
    if found is None:
        if creator != actor.username:
            require(can_manage(actor, version.model))
        raise NotFound(f"{creator[:150]} does not ask that {version} gets {target}: there is no open request.")
    return withdraw_request(actor=actor, review_request=found, comment=comment)
