"""Finding one thing that somebody may see: what is not there and what is not for them are the same NotFound."""

from __future__ import annotations

from accounts.models import User
from approvals.models import Comment, TransitionRequest
from core.errors import NotFound
from core.keyset import key_in

NO_REQUEST = "There is no such request, or it is not for you to see."
NO_COMMENT = "There is no such comment or version, or it is not for you to see."


def get_request(user: User, pk: int) -> TransitionRequest:
    found = TransitionRequest.objects.visible_to(user).with_rows().filter(pk=pk).first()
    if found is None:
        raise NotFound(NO_REQUEST)
    return found


def request_as_shown(user: User, pk: int) -> TransitionRequest:
    """The same with what its page says to this person alone."""
    found = TransitionRequest.objects.visible_to(user).with_rows().as_shown_to(user).filter(pk=pk).first()
    if found is None:
        raise NotFound(NO_REQUEST)
    return found


def get_comment(user: User, number: int | str) -> Comment:
    """By its number, or by what a client sent in the place of one."""
    pk = key_in(str(number))
    found = Comment.objects.visible_to(user).with_rows().filter(pk=pk).first() if pk is not None else None
    if found is None:
        raise NotFound(NO_COMMENT)
    return found
