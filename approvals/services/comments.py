"""Remarks on a request or on a version."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from approvals.audience import participants
from approvals.events import CommentCreated
from approvals.models import Comment, TransitionRequest
from approvals.permissions import can_comment
from core.answers import require
from core.errors import Invalid
from notifications.events import record
from registry.models import ModelVersion

LONGEST_COMMENT = 65_535


def checked_comment(text: str, *, needed_for: str = "") -> str:
    """The text without the space around it; Invalid when it is too long, or empty where ``needed_for`` says why not."""
    text = text.strip()
    if not text and needed_for:
        raise Invalid(needed_for, field="comment")
    if len(text) > LONGEST_COMMENT:
        raise Invalid(f"A comment has at most {LONGEST_COMMENT} characters, this one has {len(text)}.", field="comment")
    if "\x00" in text:
        raise Invalid("A comment holds text only, this one has a NUL character.", field="comment")
    return text


@transaction.atomic
def add_comment(
    *, actor: User, version: ModelVersion, text: str, review_request: TransitionRequest | None = None
) -> Comment:
    """Say something about a version, or in the conversation of one of its requests, closed ones included."""
    require(can_comment(actor, version))
    if review_request and review_request.version_id != version.pk:
        raise Invalid(f"Request {review_request.pk} is about another version.", field="request")
    text = checked_comment(text, needed_for="Write something: the comment is empty.")

    comment = Comment.objects.create(request=review_request, version=version, author=actor, text=text)
    record(
        CommentCreated(
            model_name=version.model.name,
            version=version.version,
            request_id=review_request.pk if review_request else None,
            comment_id=comment.pk,
            text=text,
        ),
        actor=actor,
        audience=participants(version, review_request),
    )
    return comment
