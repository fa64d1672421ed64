"""What the inbox asks, over several models at once and in a number of statements that does not grow."""

from __future__ import annotations

from accounts.models import User
from approvals.models import TransitionRequest, TransitionRequestQuerySet
from approvals.standing import standings_of


def waiting_on(user: User) -> TransitionRequestQuerySet:
    """Pending requests in which it is this person's turn: they can clear a review requirement that is unmet, and have
    given no verdict that still stands. Newest first.

    Policies decide this, so every open request that the person may see is judged; there are as many of those as people
    have asked for, never as many as there are versions.
    """
    open_requests = TransitionRequest.objects.visible_to(user).filter(state=TransitionRequest.State.OPEN).with_rows()
    standings = standings_of(list(open_requests))
    turns = [standing.known.question.review_request for standing in standings if standing.waits_for(user)]
    return TransitionRequest.objects.filter(pk__in=[turn.pk for turn in turns if turn]).order_by("-id")
