"""What was said about a request or a version, as threads; for the pages that show it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from accounts.models import User
from approvals.models import Comment, CommentRevision, TransitionRequest
from approvals.permissions import can_resolve, can_rewrite
from approvals.queries import get_comment
from registry.models import ModelVersion
from web.signed_in import SignedInRequest

MOST_MARKDOWN = 150_000  # characters of a page that are formatted, the newest first: hostile ones cost seconds


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment with what it said before; ``mine``: of the person who looks at it; ``is_plain``: shown as it was typed,
    because the page has enough to format."""

    comment: Comment
    before: list[CommentRevision]
    mine: bool
    is_plain: bool


@dataclass(frozen=True, slots=True)
class Thread:
    first: Remark
    replies: list[Remark]
    may_resolve: bool
    began_before: bool = False  # its first remark, and maybe some replies, are older than what is shown

    @property
    def shown(self) -> list[Remark]:
        """Those that belong here."""
        return self.replies if self.began_before else [self.first, *self.replies]

    @property
    def is_gone(self) -> bool:
        """Deleted as a whole."""
        return all(remark.comment.deleted_at for remark in (self.first, *self.replies))


def comments_about(version_id: int, request_id: int | None = None) -> QuerySet[Comment]:
    """Each with the first of its thread, which may be older than what is shown."""
    rows = Comment.objects.filter(version=version_id, request=request_id)
    return rows.select_related("author", "resolved_by", "parent__author", "parent__resolved_by")


def threaded(
    user: User, comments: list[Comment], version: ModelVersion, review_request: TransitionRequest | None = None
) -> dict[int, Thread]:
    """Remarks, the oldest first, as threads by the key of their first remark here; of one that began before, its
    beginning comes along."""
    edited = [comment.pk for comment in comments if comment.edited_at and not comment.deleted_at]
    before: dict[int, list[CommentRevision]] = {}
    for revision in CommentRevision.objects.filter(comment__in=edited) if edited else ():
        before.setdefault(revision.comment_id, []).append(revision)
    plain = _beyond_budget(comments, before)

    def remark_of(comment: Comment) -> Remark:
        comment.version, comment.request = version, review_request
        mine = bool(can_rewrite(user, comment))
        return Remark(comment, before.get(comment.pk, []), mine, is_plain=comment.pk in plain)

    threads: dict[int, Thread] = {}
    for comment in comments:
        first = comment.parent or comment
        if first.pk not in threads:
            beginning = remark_of(first)
            threads[first.pk] = Thread(beginning, [], bool(can_resolve(user, first)), began_before=first is not comment)
        if first is not comment:
            threads[first.pk].replies.append(remark_of(comment))
    return {thread.shown[0].comment.pk: thread for thread in threads.values()}


def _beyond_budget(comments: list[Comment], before: dict[int, list[CommentRevision]]) -> set[int]:
    left, found = MOST_MARKDOWN, set()
    for comment in reversed(comments):
        left -= len(comment.text) + sum(len(revision.text) for revision in before.get(comment.pk, ()))
        if left < 0:
            found.add(comment.pk)
    return found


def thread_named(request: SignedInRequest) -> Comment | None:
    """The thread that a form replies to, if it does."""
    named = request.POST.get("thread", "")
    return get_comment(request.user, named) if named else None


def kept(thread: Comment | None, text: str) -> dict[str, Any]:
    """What a refused form held: a reply to the thread, or a new comment."""
    return {"reply": thread.pk, "text": text} if thread else {"comment": text}
