"""The conversation about a request or a version: saying something, editing and deleting it, resolving a thread."""

from __future__ import annotations

from django.db import transaction

from accounts.models import User
from approvals.audience import askers, participants, who_may_read
from approvals.events import (
    CommentCreated,
    CommentDeleted,
    CommentEdited,
    CommentMentioned,
    RequestMentioned,
    ThreadReopened,
    ThreadResolved,
    about,
    about_comment,
)
from approvals.mentions import check_mentions, everybody, mentioned
from approvals.models import Comment, CommentRevision, TransitionRequest
from approvals.permissions import can_resolve, can_rewrite
from approvals.queries import NO_COMMENT
from approvals.services.decisions import RECONSIDER_MODEL
from core import jobs
from core.answers import require
from core.clock import now
from core.errors import Conflict, Invalid, NotFound
from notifications.events import record
from registry.models import ModelVersion, RegisteredModel
from registry.permissions import can_read

LONGEST_COMMENT = 65_535


def checked_comment(text: str, *, needed_for: str = "") -> str:
    """The text without the space around it; Invalid when it is too long, or empty where ``needed_for`` says why not."""
    text = text.replace("\r\n", "\n").strip()
    if not text and needed_for:
        raise Invalid(needed_for, field="comment")
    if len(text) > LONGEST_COMMENT:
        raise Invalid(f"A comment has at most {LONGEST_COMMENT} characters, this one has {len(text)}.", field="comment")
    if "\x00" in text:
        raise Invalid("A comment holds text only, this one has a NUL character.", field="comment")
    return text


@transaction.atomic
def add_comment(
    *,
    actor: User,
    version: ModelVersion,
    text: str,
    review_request: TransitionRequest | None = None,
    parent: Comment | None = None,
) -> Comment:
    """Say something about a version, or in the conversation of one of its requests, closed ones included.

    Without ``parent`` it begins a thread. A reply to a resolved thread leaves it resolved.
    """
    if review_request and review_request.version_id != version.pk:
        raise Invalid(f"Request {review_request.pk} is about another version.", field="request")
    text = _written(text)
    _lock_model(actor, version)
    if parent:
        parent.refresh_from_db()
        _check_parent(parent, version, review_request)
    comment = Comment.objects.create(request=review_request, version=version, author=actor, parent=parent, text=text)

    told = _newly_mentioned(comment)
    listening = participants(version, review_request) - everybody(told)
    record(CommentCreated(**about_comment(comment), text=text), actor=actor, audience=listening)
    _tell_mentioned(comment, told, actor=actor)
    if parent is None:
        _reconsider(comment)  # an open thread may be one more thing that a request waits for
    return comment


@transaction.atomic
def edit_comment(*, actor: User, comment: Comment, text: str) -> Comment:
    """Say it in other words; what it said before stays readable. Who is mentioned for the first time is told."""
    text = _written(text)
    locked = _lock(actor, comment)
    if locked.deleted_at:
        raise NotFound(NO_COMMENT)
    require(can_rewrite(actor, locked))
    before = locked.text
    if text == before:
        return locked
    CommentRevision.objects.create(comment=locked, text=before, written_at=locked.edited_at or locked.created_at)
    locked.text, locked.edited_at = text, now()
    locked.save(update_fields=["text", "edited_at"])

    record(CommentEdited(**about_comment(locked), text=text), actor=actor)
    _tell_mentioned(locked, _newly_mentioned(locked, before=before), actor=actor)
    return locked


@transaction.atomic
def delete_comment(*, actor: User, comment: Comment) -> Comment:
    """Erase the text, here and in what it said before; that somebody spoke, and when, stays, and so do the replies.

    What the events of the past say of it is not erased: the record is only ever added to.
    """
    locked = _lock(actor, comment)
    if locked.deleted_at:
        raise NotFound(NO_COMMENT)
    require(can_rewrite(actor, locked))
    locked.text, locked.deleted_at = "", now()
    locked.save(update_fields=["text", "deleted_at"])
    locked.revisions.update(text="")

    record(CommentDeleted(**about_comment(locked)), actor=actor)
    _reconsider(locked)  # it may have been all that was left of an open thread
    return locked


@transaction.atomic
def resolve_thread(*, actor: User, comment: Comment) -> Comment:
    """Say that a thread, named by its first comment, is settled. It may be the last that a request waited for."""
    locked = _lock_thread(actor, comment)
    if locked.resolved_at:
        by = f" by {locked.resolved_by.display_name}" if locked.resolved_by else ""
        raise Conflict(
            f"This thread was resolved{by} on {locked.resolved_at:%Y-%m-%d at %H:%M} UTC already; nothing was changed."
        )
    locked.resolved_at, locked.resolved_by = now(), actor
    locked.save(update_fields=["resolved_at", "resolved_by"])

    record(ThreadResolved(**about_comment(locked)), actor=actor, audience=_concerned(locked))
    _reconsider(locked)
    return locked


@transaction.atomic
def reopen_thread(*, actor: User, comment: Comment) -> Comment:
    """Say that a thread, named by its first comment, is not settled after all."""
    locked = _lock_thread(actor, comment)
    if not locked.resolved_at:
        raise Conflict("This thread is open already; nothing was changed.")
    locked.resolved_at = locked.resolved_by = None
    locked.save(update_fields=["resolved_at", "resolved_by"])

    record(ThreadReopened(**about_comment(locked)), actor=actor, audience=_concerned(locked))
    _reconsider(locked)
    return locked


def tell_of_mention(*, actor: User, review_request: TransitionRequest, text: str, heard: set[int]) -> None:
    """Tell whom the comment of a request or of a verdict names; not those who ``heard`` of it anyway."""
    found = mentioned(text, author=actor)
    check_mentions(found)
    told = who_may_read(review_request.model, everybody(found) - heard)
    if names := tuple(sorted(name for name, people in found.items() if people & told)):
        record(RequestMentioned(**about(review_request), comment=text, names=names), actor=actor, audience=told)


def _written(text: str) -> str:
    return checked_comment(text, needed_for="Write something: the comment is empty.")


def _lock_model(actor: User, version: ModelVersion) -> None:
    """The lock of every decision: an approval counts the threads that were opened before it, or they come after it."""
    model = RegisteredModel.objects.select_for_update().get(pk=version.model_id)
    if not can_read(actor, model):
        raise NotFound(NO_COMMENT)


def _lock(actor: User, comment: Comment) -> Comment:
    """The comment as it is now, its model's row and its own locked, in that order. NotFound for who may not read."""
    _lock_model(actor, comment.version)
    return Comment.objects.with_rows().select_for_update(of=("self",)).get(pk=comment.pk)


def _lock_thread(actor: User, comment: Comment) -> Comment:
    locked = _lock(actor, comment)
    if locked.parent_id:
        raise Invalid(f"This is a reply: its thread begins with comment {locked.parent_id}.", field="comment")
    if _is_gone(locked):
        raise NotFound(NO_COMMENT)
    require(can_resolve(actor, locked))
    return locked


def _is_gone(thread: Comment) -> bool:
    """Deleted as a whole."""
    return thread.deleted_at is not None and not thread.replies.filter(deleted_at=None).exists()


def _check_parent(parent: Comment, version: ModelVersion, review_request: TransitionRequest | None) -> None:
    request_id = review_request.pk if review_request else None
    if (parent.version_id, parent.request_id) != (version.pk, request_id):
        raise Invalid(f"Comment {parent.pk} belongs to another conversation.", field="parent")
    if parent.parent_id:
        raise Invalid(f"Reply to comment {parent.parent_id}: its thread begins there.", field="parent")
    if _is_gone(parent):
        raise Conflict("What you reply to was deleted. Begin a thread of your own.")


def _newly_mentioned(comment: Comment, *, before: str = "") -> dict[str, set[int]]:
    """By name, whom the comment mentions now and did not ``before``, and who may read it."""
    found = mentioned(comment.text, author=comment.author)
    check_mentions(found)
    known = everybody(mentioned(before, author=comment.author))
    told = who_may_read(comment.version.model, everybody(found) - known)
    return {name: people & told for name, people in found.items() if people & told}


def _tell_mentioned(comment: Comment, told: dict[str, set[int]], *, actor: User) -> None:
    if told:
        event = CommentMentioned(**about_comment(comment), text=comment.text, names=tuple(sorted(told)))
        record(event, actor=actor, audience=everybody(told))


def _concerned(thread: Comment) -> set[int]:
    """Who spoke in a thread, and who asked for what it is about."""
    spoke = {thread.author_id, *thread.replies.values_list("author_id", flat=True)}
    return who_may_read(thread.version.model, spoke | (askers(thread.request) if thread.request else set()))


def _reconsider(comment: Comment) -> None:
    """A request of this version may wait for threads, or have waited for them alone."""
    if TransitionRequest.objects.pending().filter(version=comment.version_id).exists():
        jobs.after_commit(RECONSIDER_MODEL, comment.version.model_id)
